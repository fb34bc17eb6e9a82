"""The whole system works on the broker's shipped logins, and a worker's login can be replaced while it works."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.exceptions import AMQPConnectionError, ProbableAuthenticationError

from services.dead_letters import read_dead_letters, return_dead_letters
from services.worker.main import Worker, WorkerSettings
from shared.clock import utc_now
from shared.contracts.codec import encode
from shared.settings.config import load_config
from shared.store import tables as t
from shared.transport.base import EVENTS, HEARTBEATS, LOGS, Outgoing, task_queue
from shared.transport.open import open_transport
from tests.harness.broker_users import BrokerUsers
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.needs import need
from tests.harness.procs import DagwayProcess
from tests.harness.servers import PostgresServer
from tests.harness.signing import POOL_KEYS, signed_as
from tests.harness.worker_rig import command, task
from tests.security.intruder import Intruder

_HELD = "touch {0}/{1}; while [ ! -e {0}/go-{1} ]; do sleep 0.02; done"


@pytest.fixture(scope="module")
def system(
    broker: BrokerUsers, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A gateway, a scheduler and a worker of the default pool, each with its own login."""
    need("postgres")
    postgres: PostgresServer = request.getfixturevalue("_postgres")
    folder = tmp_path_factory.mktemp("system")
    cluster = Cluster(folder, broker.server, postgres, workers=0, amqp_urls=broker.services())
    cluster.workers.append(cluster.worker("default-w1"))
    with cluster:
        yield cluster


def _worker_of(system: Cluster, broker: BrokerUsers, pool: str, number: int, login: str) -> DagwayProcess:
    keys = {"DAGWAY_WORKER_POOL": pool, "DAGWAY_REPORT_KEYS": POOL_KEYS[pool]}
    env = {"DAGWAY_AMQP_URL": broker.url(login), **keys}
    worker = system.worker(f"{pool}-w{number}", **env)
    system.workers.append(worker)
    system.start(worker)
    return worker


def _ran_on(system: Cluster, dag: str, run_id: str) -> str | None:
    (run,) = system.rows(t.dag_runs, dag_name=dag, dag_run_id=run_id)
    worker: str | None = run["worker_id"]
    return worker


def test_a_pool_is_added_and_its_login_replaced_while_runs_go_on(
    broker: BrokerUsers, system: Cluster, tmp_path: Path
) -> None:
    """Follows docs/operations/worker-pools.md and rotate-secrets.md."""
    client = system.client
    client.create("everywhere", "steps:\n  - command: echo hi\n    output: SAID\n  - command: echo ${SAID}\n")
    held = _HELD.format(tmp_path, "held")
    selector = "workerSelector: {worker-pool: team}\nsteps:\n"
    client.create("team", f"{selector}  - command: echo hi\n  - command: echo ho\n")
    client.create("team-held", f"{selector}  - command: {held}\n")

    broker.add_worker_login("team", "worker-team")
    old = _worker_of(system, broker, "team", 1, "worker-team")
    for dag, worker in (("everywhere", "default-w1"), ("team", "team-w1")):
        client.start(dag, "before")
        client.until("succeeded", dag, "before")
        assert _ran_on(system, dag, "before") == worker
    client.start("team-held", "over")
    eventually((tmp_path / "held").exists)

    with Intruder(broker.url("worker-team")) as intruder:
        broker.add_worker_login("team", "worker-team-2")
        _worker_of(system, broker, "team", 2, "worker-team-2")
        client.start("team", "during")
        os.kill(old.pid, signal.SIGTERM)
        # At once: a stopping worker waits only 25 s for its steps, and a run may take that long on a busy machine.
        (tmp_path / "go-held").touch()
        client.until("succeeded", "team-held", "over")
        client.until("succeeded", "team", "during")
        assert old.wait_exit() == 0

        assert intruder.does(lambda channel: channel.basic_get("dagway.tasks.team.any"))
        broker.delete_login("worker-team")
        with pytest.raises(AMQPConnectionError):
            eventually(lambda: not intruder.does(lambda channel: channel.basic_get("dagway.tasks.team.any")))
    with pytest.raises(ProbableAuthenticationError):
        pika.BlockingConnection(pika.URLParameters(broker.url("worker-team")))

    client.start("team", "after")
    client.until("succeeded", "team", "after")
    assert _ran_on(system, "team", "after") == "team-w2"


def test_a_worker_rejects_what_it_cannot_read_and_a_scheduler_sends_it_again(
    broker: BrokerUsers, system: Cluster
) -> None:
    config = load_config({"amqp_url": broker.url("scheduler")}, {})
    scheduler = signed_as("scheduler", open_transport(broker.url("scheduler"), name="scheduler"))
    (worker, *_) = system.workers
    scheduler.send(Outgoing(task_queue({}), b'{"what": "is this"}', "odd")).result(60)

    def listed() -> list[tuple[str, str, str, str]]:
        letters = read_dead_letters(config, 10)
        return [(one.id, one.queue, one.reason, one.body.decode().partition(',"sig"')[0]) for one in letters]

    expected = [("odd", "dagway.tasks.default.any", "rejected by a worker", '{"what": "is this"')]
    eventually(lambda: listed() == expected)
    # While a scheduler reads the dead letters, these are not in the queue.
    eventually(lambda: return_dead_letters(config, 10) == 1)
    eventually(lambda: worker.output().count("task.unreadable") == 2)
    eventually(lambda: listed() == expected)
    scheduler.close()
    with pika.BlockingConnection(pika.URLParameters(broker.url("scheduler"))) as connection:
        connection.channel().queue_purge("dagway.dead")


def test_a_full_worker_hands_a_task_back_for_another_worker(broker: BrokerUsers, tmp_path: Path) -> None:
    # Not where the system is: its scheduler would refuse these unsigned reports and make dead letters of them.
    apart = broker.another_vhost("scheduler", "worker-gpu")
    scheduler = open_transport(broker.url("scheduler", apart), name="scheduler")
    mine = open_transport(broker.url("worker-gpu", apart), name="worker", creates=False)
    # Tasks of the worker's own queue it would keep for a minute, because no other worker may take them.
    labels = {"worker-pool": "gpu", "size": "big"}
    queues = [task_queue({"worker-pool": "gpu"}), task_queue(labels)]
    (tmp_path / "routes.json").write_text(json.dumps([labels]))
    scheduler.declare([EVENTS, LOGS, HEARTBEATS, *queues])
    for token, queue in zip(("t1", "t2"), queues, strict=True):
        held = task(command(_HELD.format(tmp_path, token)), token=token, dispatched_at=utc_now())
        body = encode(held, id=token, at=utc_now())
        scheduler.send(Outgoing(queue, body, token)).result(60)
    worker = Worker(mine, WorkerSettings(worker_id="gpu-w1", slots=1, data_dir=tmp_path, labels=labels))
    worker.start()
    try:
        eventually(lambda: worker.counters.values.get("handed_back") == 1)
        (began,) = worker.attempts.tokens()
        (returned,) = scheduler.consume(queues, prefetch=1).take(1, 60)
        assert (returned.message_id, returned.redelivered) == ({"t1": "t2", "t2": "t1"}[began], True)
        returned.ack()
        (tmp_path / f"go-{began}").touch()
        eventually(lambda: worker.attempts.tokens() == ())
        assert worker.counters.values["handed_back"] == 1
    finally:
        worker.stop()
        mine.close()
        scheduler.close()
