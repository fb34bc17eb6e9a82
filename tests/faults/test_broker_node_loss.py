"""One of the three nodes of a broker cluster with the shipped settings is lost."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from shared.errors import BrokerUnavailable, DagwayError
from shared.status import AttemptState
from shared.store import tables as t
from shared.transport.base import COMMANDS, EVENTS, HEARTBEATS, LOGS, BrokerQueue, Outgoing, Transport, task_queue
from shared.transport.open import open_transport
from tests.harness.broker_users import PASSWORDS, write_definitions
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually
from tests.harness.invariants import at_rest, census, violations
from tests.harness.needs import need
from tests.harness.servers import PostgresServer, RabbitCluster

RUNS, SLOTS = 120, 20
"""Runs under way when the node dies: the slots of both workers are taken, and the other tasks wait at the broker."""
WITHIN_S = 60
"""From the death of a node to the end of a run started after it. An election takes about a second, so does a reconnect,
and the loss of a queue of heartbeats is noticed after 2 s. The rest is for a busy machine.
"""
SPEC = """
steps:
  - name: one
    command: until test -e {folder}/go; do sleep 0.2; done; echo one >> {folder}/$DAG_RUN_ID
  - name: two
    command: echo two >> {folder}/$DAG_RUN_ID
"""

# On a busy machine the cluster alone takes minutes to start.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """A running broker cluster."""
    need("rabbitmq")
    with RabbitCluster(write_definitions(tmp_path_factory.mktemp("users")), hurried=True) as cluster:
        yield cluster


@pytest.fixture
def broker(shared_broker: RabbitCluster) -> RabbitCluster:
    """The broker cluster, with all nodes running."""
    for node in shared_broker.nodes:
        if not node.running:
            node.start()
    return shared_broker


def test_the_shipped_settings_make_a_cluster_that_replicates_queues(broker: RabbitCluster) -> None:
    queues = [COMMANDS, EVENTS, LOGS, task_queue({})]
    scheduler = open_transport(broker.urls(PASSWORDS, nodes=broker.nodes[:1])["scheduler"], name="test")
    with closing(scheduler):
        scheduler.declare(queues)

    found = broker.queues(broker.nodes[1])
    nodes = {node.node for node in broker.nodes}
    for queue in queues:
        assert set(found[queue.name]["members"]) == nodes


def test_a_queue_of_heartbeats_comes_to_another_node(broker: RabbitCluster) -> None:
    scheduler = open_transport(broker.urls(PASSWORDS, nodes=broker.nodes)["scheduler"], name="test")
    with closing(scheduler):
        consumer = scheduler.consume([HEARTBEATS], prefetch=10)
        lost = broker.home_of(HEARTBEATS.name)

        def is_heard(text: bytes) -> bool:
            with suppress(DagwayError, TimeoutError):
                scheduler.send(Outgoing(HEARTBEATS, text, "beat")).result(10)
            found = consumer.take(10, 0.5)
            for delivery in found:
                delivery.ack()
            return text in [delivery.body for delivery in found]

        eventually(lambda: is_heard(b"before"))
        lost.kill()
        eventually(lambda: is_heard(b"after"), timeout_s=WITHIN_S)
        # What a scheduler does that starts now. It tries again while queues have no leader.
        eventually(lambda: _declared(scheduler, [HEARTBEATS, EVENTS, task_queue({})]))
        lost.start()
        eventually(lambda: is_heard(b"with all nodes"))
        assert broker.home_of(HEARTBEATS.name) is not lost


def test_a_node_that_is_cut_off_serves_nobody_and_comes_back(broker: RabbitCluster) -> None:
    scheduler = open_transport(broker.urls(PASSWORDS, nodes=broker.nodes)["scheduler"], name="test")
    with closing(scheduler):
        scheduler.declare([EVENTS])
        consumer = scheduler.consume([EVENTS], prefetch=10)
        parted = broker.home_of(EVENTS.name)

        def is_heard(text: bytes) -> bool:
            with suppress(DagwayError, TimeoutError):
                scheduler.send(Outgoing(EVENTS, text, text.decode())).result(10)
            found = consumer.take(10, 0.5)
            for delivery in found:
                delivery.ack()
            return text in [delivery.body for delivery in found]

        eventually(lambda: is_heard(b"before"))
        broker.cut_off(parted)
        try:
            eventually(lambda: not parted.answers())
            eventually(lambda: is_heard(b"after"))
        finally:
            broker.rejoin(parted)
        eventually(lambda: is_heard(b"with all nodes"))
        assert len(broker.queues(parted)[EVENTS.name]["members"]) == 3


def test_work_goes_on_without_the_node_of_the_tasks(
    broker: RabbitCluster, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    runs = [f"n{number}" for number in range(RUNS)]
    with _system(broker, postgres_server, tmp_path / "system") as system:
        system.client.create("counted", SPEC.format(folder=work))
        lost = broker.home_of(task_queue({}).name)
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda run: _begin(system, run), runs))
        eventually(lambda: _slots_are_taken(system), timeout_s=120)
        lost.kill()
        began_s = time.monotonic()
        (work / "go").touch()
        answers.append(_begin(system, "after"))
        system.client.until("succeeded", "counted", "after", timeout_s=WITHIN_S)
        print(f"done {time.monotonic() - began_s:.1f} s after the death of the node")  # noqa: T201 - the measured result
        eventually(lambda: at_rest(system.engine), every_s=0.5)
        # A scheduler can also start without the node.
        system.schedulers[0].terminate()
        system.start(system.schedulers[0])

        assert set(answers) <= {200, 202}
        counts = census(system.engine)
        assert counts["runs"] == {"succeeded": RUNS + 1}
        assert counts["attempts"]["finished"] == 2 * (RUNS + 1)
        assert "lost" not in counts["attempts"]
        assert violations(system.engine, commands=[*runs, "after"]) == []
        assert {run: (work / run).read_text() for run in runs} == dict.fromkeys(runs, "one\ntwo\n")


def _declared(transport: Transport, queues: list[BrokerQueue]) -> None:
    try:
        transport.declare(queues)
    except BrokerUnavailable as error:
        raise AssertionError(str(error)) from error


def _slots_are_taken(system: Cluster) -> None:
    held = Counter(row["token_state"] for row in system.rows(t.nodes) if row["token"])
    assert held == {AttemptState.RUNNING: 2 * SLOTS, AttemptState.DISPATCHED: RUNS - 2 * SLOTS}


def _system(broker: RabbitCluster, postgres: PostgresServer, folder: Path) -> Cluster:
    """Return a gateway, two schedulers and two workers, all of which know all nodes of the broker."""
    urls = broker.urls(PASSWORDS, nodes=broker.nodes)
    logins = {"api": urls["api"], "scheduler": urls["scheduler"], "worker": urls["worker-default"]}
    system = Cluster(folder, broker.nodes[0], postgres, schedulers=2, workers=0, amqp_urls=logins)
    for worker_id in ("default-w1", "default-w2"):
        system.workers.append(system.worker(worker_id, DAGWAY_WORKER_SLOTS=str(SLOTS)))
    return system


def _begin(system: Cluster, run: str) -> int:
    """Start a run, repeating the request until it is accepted; return the status of the answer."""
    return system.client.insist("POST", "/dags/counted/start", {"dagRunId": run}, key=run).status
