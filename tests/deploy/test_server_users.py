"""The users that deploy/servers creates: on real servers, each has exactly the rights that it needs."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pika
import psycopg2
import pytest
from pika.exceptions import ChannelClosedByBroker
from psycopg2 import errors

from shared.store.migrate import migrate
from shared.transport.base import COMMANDS, EVENTS, HEARTBEATS, LOGS, Outgoing, Transport, task_queue, worker_queue
from shared.transport.open import open_transport
from tests.deploy.manifests import ROOT
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.servers import PostgresServer, RabbitServer, postgres_bin

_SERVERS = ROOT / "deploy" / "servers"


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    """A new server: roles belong to a whole server, and must not exist at the start of these tests."""
    need("postgres")
    with PostgresServer() as server:
        environ = {
            "PATH": f"{postgres_bin()}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "OWNER_PASSWORD": 'it\'s "odd" $1 \\',
            "SCHEDULER_PASSWORD": "two",
            "API_PASSWORD": "three",
        }
        argv = ["sh", str(_SERVERS / "postgres-users.sh")]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        migrate(_as(server, "dagway_owner"))
        yield server


def _as(server: PostgresServer, user: str) -> str:
    return server.database_url("dagway").replace("postgres@", f"{user}@")


def _try(server: PostgresServer, user: str, *statements: str) -> None:
    with closing(psycopg2.connect(_as(server, user))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


def test_passwords_are_stored_as_scram(postgres: PostgresServer) -> None:
    with closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolpassword, rolsuper, rolcreaterole FROM pg_authid WHERE rolname LIKE 'dagway%' AND rolcanlogin"
        )
        rows = cursor.fetchall()

    assert len(rows) == 3
    for password, superuser, makes_roles in rows:
        assert password.startswith("SCRAM-SHA-256$")
        assert (superuser, makes_roles) == (False, False)


def test_the_gateways_user_reads_and_can_do_nothing_else(postgres: PostgresServer) -> None:
    _try(postgres, "dagway_api_user", "SELECT count(*) FROM dag_runs")

    for statement in ("DELETE FROM dag_runs", "CREATE TABLE mine (x int)", "DROP TABLE dag_runs"):
        with pytest.raises(errors.InsufficientPrivilege):
            # Its sessions are read-only by default. That alone would not protect, since a session can change it.
            _try(postgres, "dagway_api_user", "SET default_transaction_read_only = off", statement)


def test_the_schedulers_user_writes_rows_and_changes_no_table(postgres: PostgresServer) -> None:
    _try(postgres, "dagway_scheduler_user", "DELETE FROM dag_runs")

    for statement in ("ALTER TABLE dag_runs ADD COLUMN mine int", "DROP TABLE dag_runs", "DELETE FROM alembic_version"):
        with pytest.raises(errors.InsufficientPrivilege):
            _try(postgres, "dagway_scheduler_user", statement)


@pytest.fixture
def broker(rabbit_server: RabbitServer, tmp_path: Path) -> RabbitServer:
    text = (_SERVERS / "rabbitmq-users.json").read_text()
    for user in ("SCHEDULER", "API", "WORKER"):
        text = text.replace(f"@{user}_PASSWORD@", f"{user.lower()}-secret")
    tmp_path.chmod(0o755)
    (tmp_path / "users.json").write_text(text)
    rabbit_server.ctl("import_definitions", str(tmp_path / "users.json"))
    return rabbit_server


def _url(broker: RabbitServer, user: str) -> str:
    return f"amqp://{user}:{user}-secret@127.0.0.1:{broker.port}/dagway"


@pytest.fixture
def users(broker: RabbitServer) -> Iterator[dict[str, Transport]]:
    opened = {user: open_transport(_url(broker, user), name=user) for user in ("scheduler", "api", "worker")}
    opened["scheduler"].declare([COMMANDS, EVENTS, LOGS, HEARTBEATS, task_queue({})])
    yield opened
    for transport in opened.values():
        transport.close()


def test_each_service_can_do_its_work_on_the_broker(users: dict[str, Transport]) -> None:
    scheduler, api, worker = users["scheduler"], users["api"], users["worker"]
    mine = worker_queue("w1")
    heard: list[bytes] = []
    worker.listen(["worker.w1"], lambda _topic, body: heard.append(body))

    intake = scheduler.consume([COMMANDS, EVENTS, LOGS, HEARTBEATS], prefetch=10)
    tasks = worker.consume([task_queue({}), task_queue({"gpu": "true"}), mine], prefetch=10)
    asked = api.request(Outgoing(COMMANDS, b"start", "m1"))
    asked.accepted(10)
    (command,) = intake.take(1, 10)
    command.reply(b"recorded")
    command.ack()
    assert asked.reply(10) == b"recorded"

    for route in (task_queue({}), task_queue({"gpu": "true"}), mine):
        scheduler.send(Outgoing(route, b"task", f"m-{route.name}")).result(10)
        (task,) = tasks.take(1, 10)
        task.ack()
    for route in (EVENTS, LOGS, HEARTBEATS):
        worker.send(Outgoing(route, b"report", f"m-{route.name}")).result(10)
        (report,) = intake.take(1, 10)
        report.ack()
    scheduler.broadcast("worker.w1", b"stop")
    eventually(lambda: heard == [b"stop"], timeout_s=60)


@pytest.mark.parametrize(
    ("user", "queue"),
    [("worker", COMMANDS.name), ("worker", EVENTS.name), ("worker", LOGS.name), ("api", COMMANDS.name),
     ("api", EVENTS.name), ("api", task_queue({}).name)],
)  # fmt: skip
def test_no_broker_user_can_read_the_queues_of_another_service(
    broker: RabbitServer, users: dict[str, Transport], user: str, queue: str
) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(_url(broker, user)))) as connection:
        for deed in ("basic_get", "queue_purge", "queue_delete"):
            channel = connection.channel()
            with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
                getattr(channel, deed)(queue)
