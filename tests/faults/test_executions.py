"""Tasks that arrive late, twice or at a returned worker: every step writes a ledger, and none runs twice.

No step has a retry policy.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.tasks import FRESH_S, SKEW_S, Task
from shared.ids import new_run_id
from shared.store import tables as t
from shared.transport.base import BrokerQueue, Outgoing, task_queue, worker_queue
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.faults.conftest import LEASE_S
from tests.harness.cluster import Cluster, running
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, violations
from tests.harness.procs import DagwayProcess
from tests.harness.proxy import Proxy
from tests.harness.servers import PostgresServer, RabbitServer
from tests.harness.signing import signed_as

SWEPT_S = FRESH_S + SKEW_S
HELD = "echo {name} >> {folder}/ledger; until test -e {folder}/go; do sleep 0.05; done"


@pytest.fixture(scope="module")
def shared_cluster(
    servers: tuple[RabbitServer, PostgresServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two schedulers, and two workers with one slot each."""
    rabbit, postgres = running(*servers)
    folder = tmp_path_factory.mktemp("cluster")
    with Cluster(folder, rabbit, postgres, schedulers=2, lease_s=LEASE_S, workers=0) as system:
        system.workers += [system.worker(name, DAGWAY_WORKER_SLOTS="1") for name in ("w1", "w2")]
        yield system.start()


@pytest.fixture
def broker(cluster: Cluster) -> Iterator[RabbitTransport]:
    """The test's own connection to the broker."""
    transport = RabbitTransport(cluster.amqp_url, name="test")
    eventually(lambda: transport.healthy)
    yield transport
    transport.close()


def ledger(folder: Path) -> Counter[str]:
    path = folder / "ledger"
    return Counter(path.read_text().split() if path.exists() else [])


def hold(name: str, folder: Path) -> str:
    """Return the spec of a step that writes to the ledger and ends when the file ``go`` exists."""
    return f"steps:\n  - name: {name}\n    command: {HELD.format(name=name, folder=folder)}\n"


def occupy(cluster: Cluster, folder: Path) -> None:
    """Let both workers run a step until the file ``go`` exists."""
    for number in (1, 2):
        cluster.client.create(f"busy{number}-{folder.name}", hold(f"busy{number}", folder))
        cluster.client.start(f"busy{number}-{folder.name}")
    eventually(lambda: len(ledger(folder)) == 2)


def executions(cluster: Cluster, dag: str) -> list[tuple[bool, bool]]:
    """Return ``(accepted, begun)`` of everyone who began a step of a run or asked for it."""
    (run,) = cluster.rows(t.dag_runs, dag_name=dag)
    return sorted((row["accepted"], row["begun"]) for row in cluster.rows(t.executions, run_key=run["run_key"]))


def settled(cluster: Cluster, broker: RabbitTransport) -> None:
    """Wait until every run has ended and no task is left, and check the invariants."""
    queues: list[BrokerQueue] = [task_queue({}), worker_queue("w1"), worker_queue("w2")]
    eventually(lambda: all(broker.waiting(queue) == 0 for queue in queues))
    eventually(lambda: at_rest(cluster.engine))
    assert violations(cluster.engine) == []


def test_a_returned_worker_does_not_run_the_tasks_that_were_taken_from_it(
    cluster: Cluster, broker: RabbitTransport, tmp_path: Path
) -> None:
    names = [f"p{number}" for number in range(6)]
    steps = "".join(
        f"  - name: {name}\n    depends: first\n    command: {HELD.format(name=name, folder=tmp_path)}\n"
        for name in names
    )
    cluster.client.create("returned", f"type: graph\nsteps:\n  - name: first\n    command: 'true'\n{steps}")
    cluster.client.start("returned")
    eventually(lambda: ledger(tmp_path).total() == 1)
    worker_id = cluster.client.run("returned")["workerId"]
    worker = next(one for one in cluster.workers if one.env["DAGWAY_WORKER_ID"] == worker_id)

    def left_waiting() -> None:
        assert broker.waiting(worker_queue(worker_id)) == len(names) - 1

    eventually(left_waiting)

    worker.kill9()
    (tmp_path / "go").touch()
    cluster.client.until("failed", "returned")
    cluster.start(worker)
    settled(cluster, broker)

    assert ledger(tmp_path) == dict.fromkeys(names, 1)
    # The first step, and for each other step one worker that ran it. The returned worker was refused all but its own.
    asked = [(False, False)] * (len(names) - 1)
    eventually(lambda: executions(cluster, "returned") == [*asked, *[(True, True)] * (len(names) + 1)])


def test_a_task_that_was_sent_but_not_deleted_is_swept_and_runs_once(
    cluster: Cluster, broker: RabbitTransport, tmp_path: Path
) -> None:
    cluster.client.create("swept", hold("once", tmp_path))
    occupy(cluster, tmp_path)
    for process in cluster.schedulers:
        process.terminate()
    doomed = cluster.scheduler("doomed", DAGWAY_FAULTS="relay.confirmed:kill")
    cluster.start(doomed)

    cluster.client.start("swept")
    assert doomed.wait_exit() == -9
    eventually(lambda: broker.waiting(task_queue({})) == 1)
    cluster.start()
    eventually(lambda: broker.waiting(task_queue({})) == 2)
    (tmp_path / "go").touch()
    settled(cluster, broker)

    assert ledger(tmp_path)["once"] == 1
    # A worker is refused the second copy. Only the worker that ran the first one drops it without asking.
    assert executions(cluster, "swept") in ([(True, True)], [(False, False), (True, True)])


def republish(broker: RabbitTransport, task: Task, **facts: Any) -> None:
    body = encode(task.model_copy(update=facts), id=task.token, at=utc_now())
    signed_as("scheduler", broker).send(Outgoing(task_queue({}), body, task.token)).result(60)


def test_copies_of_a_task_do_not_run(cluster: Cluster, broker: RabbitTransport, tmp_path: Path) -> None:
    for worker in cluster.workers:
        worker.terminate()
    thief = broker.consume([task_queue({})], prefetch=1)
    cluster.client.create("copied", hold("copied", tmp_path))
    cluster.client.start("copied")
    (delivery,) = eventually(lambda: thief.take(1, 1) or _none())
    task = decode(delivery.body).body
    assert isinstance(task, Task)
    delivery.ack()
    thief.close()
    cluster.start(*cluster.workers)

    # The first copy is asked for, because it is old, and granted.
    for _ in range(5):
        republish(broker, task, dispatched_at=utc_now() - timedelta(minutes=1))
    eventually(lambda: ledger(tmp_path).total() == 1)
    eventually(lambda: broker.waiting(task_queue({})) == 0)
    # A worker has taken the last copy, and the schedulers record what it asks and reports.
    eventually(lambda: executions(cluster, "copied") == [(False, False), (True, True)])

    # A worker remembers what it was refused: there, not even a fresh copy begins.
    republish(broker, task, dispatched_at=utc_now())
    eventually(lambda: broker.waiting(task_queue({})) == 0)
    (tmp_path / "go").touch()
    settled(cluster, broker)
    assert ledger(tmp_path).total() == 1


def _none() -> list[Any]:
    raise AssertionError("nothing arrived")


SPREAD = """
type: graph
placement: spread
delaySec: 1
steps:
  - name: first
    command: echo first >> {folder}/ledger
  - name: second
    command: echo second >> {folder}/ledger
"""


def test_a_task_whose_link_was_stalled_while_another_scheduler_sent_it_runs_once(
    cluster: Cluster, broker: RabbitTransport, tmp_path: Path
) -> None:
    for process in cluster.schedulers:
        process.terminate()
    parts = urlsplit(cluster.amqp_url)
    with Proxy(int(parts.port or 0)) as proxy:
        url = cluster.amqp_url.replace(f":{parts.port}", f":{proxy.port}")
        slow: DagwayProcess = cluster.scheduler("slow", DAGWAY_AMQP_URL=url)
        try:
            cluster.start(slow)
            cluster.client.create("stalled", SPREAD.format(folder=tmp_path))
            run_key = eventually(lambda: started_and_stalled(cluster, proxy, tmp_path))
            # The second step is due by the clock, and its task is sent into the stalled link.
            eventually(lambda: bool(second(cluster, run_key)["token"]))
            sent_at = second(cluster, run_key)["dispatched_at"]
            eventually(lambda: (utc_now() - sent_at).total_seconds() > SWEPT_S)
            cluster.start(cluster.schedulers[0])
            # The other scheduler has sent it again. Now the first copy arrives too, and the reports that were held.
            eventually(lambda: cluster.rows(t.outbox) == [])
            proxy.mend()
            settled(cluster, broker)
        finally:
            slow.close()

    assert ledger(tmp_path) == {"first": 1, "second": 1}


def started_and_stalled(cluster: Cluster, proxy: Proxy, folder: Path) -> str:
    """Start a run and stall the link before its second step is sent; return its key."""
    run_id = cluster.client.start("stalled", new_run_id())
    (run,) = cluster.rows(t.dag_runs, dag_name="stalled", dag_run_id=run_id)
    proxy.stall()
    node = second(cluster, run["run_key"])
    if (node["status"], node["token"]) != ("not_started", None):
        # This process was too slow. The next run may do better.
        proxy.mend()
        cluster.client.until("succeeded", "stalled", run_id)
        (folder / "ledger").unlink()
        raise AssertionError("the second step was sent before the link was stalled")
    key: str = run["run_key"]
    return key


def second(cluster: Cluster, run_key: str) -> dict[str, Any]:
    (node,) = cluster.rows(t.nodes, run_key=run_key, name="second")
    return node
