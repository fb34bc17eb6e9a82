"""The test harness itself: its servers and its proxy behave as other tests assume."""

import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pika
import psycopg2
import pytest

from tests.harness.cluster import gone
from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.needs import need
from tests.harness.proxy import Proxy
from tests.harness.servers import PostgresReplica, PostgresServer, RabbitServer

ROOT = Path(__file__).parents[2]


def test_a_confirmed_message_on_a_quorum_queue_survives_the_death_of_the_broker(
    rabbit_server: RabbitServer, amqp_url: str
) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as connection:
        channel = connection.channel()
        channel.queue_declare("kept", durable=True, arguments={"x-queue-type": "quorum"})
        channel.confirm_delivery()
        channel.basic_publish("", "kept", b"hello", pika.BasicProperties(delivery_mode=2))

    rabbit_server.kill()
    rabbit_server.start()

    def body() -> bytes:
        try:
            with closing(pika.BlockingConnection(pika.URLParameters(amqp_url))) as again:
                return bytes(again.channel().basic_get("kept")[2] or b"")
        except pika.exceptions.AMQPError as error:
            raise AssertionError(repr(error)) from error

    assert eventually(body) == b"hello"


def test_a_vhost_stays_until_it_is_released(rabbit_server: RabbitServer) -> None:
    def exists(url: str) -> bool:
        try:
            pika.BlockingConnection(pika.URLParameters(url)).close()
        except pika.exceptions.AMQPConnectionError:
            return False
        return True

    with rabbit_server.vhost() as kept:
        for _ in range(60):
            rabbit_server.release_vhost(rabbit_server.create_vhost())
        assert exists(kept)
    for _ in range(20):
        rabbit_server.release_vhost(rabbit_server.create_vhost())
    assert not exists(kept)


def test_committed_rows_survive_the_death_of_postgres(postgres_server: PostgresServer, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    postgres_server.kill()
    postgres_server.start()

    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchall() == [(42,)]


def test_a_replica_takes_over_without_the_commits_that_it_did_not_get() -> None:
    need("postgres")

    def numbers(server: PostgresServer) -> list[int]:
        with closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT number FROM kept ORDER BY number")
            return [number for (number,) in cursor.fetchall()]

    with PostgresServer() as primary:
        primary.execute("CREATE TABLE kept AS SELECT 1 AS number")
        with PostgresReplica(primary) as replica:
            primary.execute("INSERT INTO kept VALUES (2)")
            eventually(lambda: numbers(replica) == [1, 2])
            replica.cut_off()
            primary.execute("INSERT INTO kept VALUES (3)")

            primary.kill()
            replica.promote()
            assert numbers(replica) == [1, 2]
            replica.trade_places()

            primary.execute("INSERT INTO kept VALUES (4)")
            assert numbers(primary) == [1, 2, 4]
            assert numbers(replica) == [1, 2, 3]


def test_a_stalled_link_carries_nothing_until_it_is_mended(postgres_server: PostgresServer) -> None:
    with Proxy(postgres_server.port) as proxy, closing(psycopg2.connect(_through(proxy))) as connection:
        answered = threading.Event()

        def ask() -> None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            answered.set()

        proxy.stall()
        asker = threading.Thread(target=ask)
        asker.start()
        assert not answered.wait(0.3)

        proxy.mend()
        assert answered.wait(PATIENCE_S)
        asker.join()


def test_a_cut_link_breaks_what_is_open_and_refuses_what_is_new(postgres_server: PostgresServer) -> None:
    with Proxy(postgres_server.port) as proxy, closing(psycopg2.connect(_through(proxy))) as connection:
        proxy.cut()

        with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(_through(proxy))

        proxy.mend()
        psycopg2.connect(_through(proxy)).close()


def test_of_a_half_open_link_only_the_server_notices_the_end(postgres_server: PostgresServer) -> None:
    with (
        Proxy(postgres_server.port) as proxy,
        closing(psycopg2.connect(_through(proxy))) as connection,
        closing(psycopg2.connect(postgres_server.url)) as direct,
    ):
        direct.autocommit = True
        refused = threading.Event()

        def ask() -> None:
            with pytest.raises(psycopg2.OperationalError), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            refused.set()

        def session_ended() -> None:
            with direct.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (connection.info.backend_pid,))
                assert cursor.rowcount == 0

        proxy.half_open()
        eventually(session_ended)
        asker = threading.Thread(target=ask)
        asker.start()
        assert not refused.wait(0.3)

        proxy.mend()
        assert refused.wait(60)
        asker.join()
        psycopg2.connect(_through(proxy)).close()


def test_a_slow_link_carries_everything_late(postgres_server: PostgresServer) -> None:
    with Proxy(postgres_server.port) as proxy, closing(psycopg2.connect(_through(proxy))) as connection:
        proxy.slow(0.2)
        began = time.monotonic()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 42")
            assert cursor.fetchone() == (42,)

        # There and back again.
        assert time.monotonic() - began >= 0.4


def test_a_process_that_replaces_one_that_crashed_gets_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest-xdist counts on: of two processes, the third replaces one."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", "2")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw2")

    assert free_port() % 2 == 0


def _through(proxy: Proxy) -> str:
    return f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres?connect_timeout=60"


def test_servers_and_their_folders_do_not_outlive_a_killed_test_process(tmp_path: Path) -> None:
    script = (
        "import time\n"
        "from tests.harness.reaper import remove_at_end, spawn\n"
        "from pathlib import Path\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "child = spawn(['sleep', '600'], env={'PATH': '/usr/bin:/bin'}, cwd=folder, log=folder / 'log')\n"
        "(folder / 'data' / 'deep').mkdir(parents=True)\n"
        "remove_at_end(folder / 'data')\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert not gone(child)
        assert (tmp_path / "data" / "deep").is_dir()

        parent.kill()
        parent.wait()

        eventually(lambda: gone(child))
        eventually(lambda: not (tmp_path / "data").exists())
