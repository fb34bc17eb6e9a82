"""``dagway deletion-costs`` asks real admin servers of workers, and annotates the pods of a small cluster."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from services.kubernetes import deletion_costs
from services.kubernetes.cluster_api import ClusterApi, ClusterUnavailable
from services.kubernetes.costs import CostChange
from services.kubernetes.deletion_costs import DeletionCosts
from services.kubernetes.held_attempts import held_attempts
from services.worker.reporting.metrics import WorkerCollector, WorkerFacts
from shared.admin_server import AdminServer
from tests.harness.authority import Authority
from tests.harness.client import ask_probe
from tests.harness.eventually import PATIENCE_S, eventually, free_port
from tests.harness.procs import DagwayProcess, refused
from tests.harness.small_cluster import SELECTOR, SmallCluster, pod


class IdleOrBusy:
    """The admin server of a worker that holds ``held`` attempts."""

    def __init__(self) -> None:
        self.held = 0
        self._server = AdminServer("127.0.0.1", 0, lambda: "", [WorkerCollector(self._facts)])
        self._server.start()
        self.port = self._server.port
        self.stop = self._server.stop

    def _facts(self) -> WorkerFacts:
        return WorkerFacts({}, slots=100, busy=self.held, draining=False, spooled=0, trouble="")


@pytest.fixture
def worker() -> Iterator[Callable[[int], IdleOrBusy]]:
    with ExitStack() as ending:

        def start(held: int) -> IdleOrBusy:
            server = IdleOrBusy()
            server.held = held
            ending.callback(server.stop)
            return server

        yield start


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SmallCluster]:
    with SmallCluster(tmp_path / "cluster") as running:
        yield running


class Command:
    """The command, which looks at the pods twice a second."""

    def __init__(self, cluster: SmallCluster, folder: Path) -> None:
        port = free_port()
        self._admin = f"http://127.0.0.1:{port}"
        self._cluster = cluster
        env = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(cluster.port),
            "DAGWAY_SERVICE_ACCOUNT_DIR": str(cluster.account),
            "DAGWAY_DELETION_COSTS_EVERY_S": "0.5",
            "DAGWAY_METRICS_PORT": str(port),
        }
        self.process = DagwayProcess("deletion-costs", folder=folder, env=env)

    def get(self, path: str) -> tuple[int, str]:
        return ask_probe(self._admin + path)

    def sample(self, name: str) -> float:
        (line,) = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(f"{name} ")]
        return float(line.rpartition(" ")[2])

    def looks(self, times: int = 2) -> None:
        """Wait until all pods were listed that many times more: then what was listed first has been acted on."""
        until = self._cluster.lists + times
        eventually(lambda: self._cluster.lists >= until)


@pytest.fixture
def command(cluster: SmallCluster, tmp_path: Path) -> Iterator[Command]:
    """The command, not started yet."""
    made = Command(cluster, tmp_path / "command")
    yield made
    made.process.close()


def test_busy_pods_get_a_cost_and_idle_ones_none(
    cluster: SmallCluster, command: Command, worker: Callable[[int], IdleOrBusy]
) -> None:
    idle, busy, former = worker(0), worker(5), worker(0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nobody = listener.getsockname()[1]
    cluster.add(
        pod("idle", idle.port),
        pod("busy", busy.port),
        pod("formerly-busy", former.port, cost="4"),
        pod("without-answer", nobody, cost="2"),
        pod("of-a-stateful-set", busy.port, owner="StatefulSet"),
        pod("being-deleted", busy.port, deletionTimestamp="2026-11-28T10:00:00Z"),
        pod("as-it-should-be", busy.port, cost="3"),
    )
    command.process.start().wait_ready(lambda: command.get("/readyz")[0] == 200)

    expected = {"busy": "3", "formerly-busy": "0", "without-answer": "2", "as-it-should-be": "3"}
    eventually(lambda: cluster.costs() == expected)
    command.looks(5)

    # No patch without a change.
    assert sorted(cluster.patches) == [("busy", "3"), ("formerly-busy", "0")]
    idle.held = 1
    eventually(lambda: cluster.costs().get("idle") == "1")
    busy.held = 0
    eventually(lambda: cluster.costs()["busy"] == "0")
    busy.held = 40
    eventually(lambda: cluster.costs()["busy"] == "6")
    assert cluster.refused == []
    # A patch is counted after it was answered.
    eventually(lambda: command.sample('dagway_deletion_cost_patches_total{outcome="written"}') >= 5)
    assert command.sample('dagway_deletion_cost_reads_total{outcome="failed"}') >= 5
    assert command.sample("dagway_deletion_cost_last_pass_timestamp_seconds") > 0
    assert command.get("/healthz")[0] == 200
    assert command.process.terminate() == 0


def test_a_rotated_token_is_used(cluster: SmallCluster, command: Command, worker: Callable[[int], IdleOrBusy]) -> None:
    one = worker(1)
    cluster.add(pod("one", one.port))
    command.process.start()
    eventually(lambda: cluster.costs() == {"one": "1"})

    cluster.rotate("token-2")
    one.held = 100

    eventually(lambda: cluster.costs() == {"one": "7"})
    # A look that had begun may have met the end of the token before.
    assert set(cluster.refused) <= {"Unauthorized"}
    assert command.process.terminate() == 0


def test_what_fails_is_done_later_and_nothing_ends_the_process(
    cluster: SmallCluster, command: Command, worker: Callable[[int], IdleOrBusy]
) -> None:
    one = worker(1)
    cluster.list_status = 500
    command.process.start()
    eventually(
        lambda: command.get("/readyz") == (503, "not ready: GET of pods: the cluster's API answers 500: etcd is away\n")
    )
    assert command.get("/healthz")[0] == 200

    # One that has gone meanwhile, refusals, and a failure.
    cluster.patch_statuses = [403, 409, 404, 500, 429]
    cluster.add(pod("one", one.port))
    cluster.list_status = 200
    eventually(lambda: cluster.costs() == {"one": "1"})
    eventually(lambda: command.get("/readyz")[0] == 200)
    found = {
        outcome: command.sample(f'dagway_deletion_cost_patches_total{{outcome="{outcome}"}}')
        for outcome in ("written", "gone", "refused", "failed")
    }
    assert found == {"written": 1, "gone": 1, "refused": 3, "failed": 1}

    (cluster.account / "token").rename(cluster.account / "hidden")
    eventually(lambda: "the token of the service account cannot be read" in command.get("/readyz")[1])
    (cluster.account / "hidden").rename(cluster.account / "token")
    eventually(lambda: command.get("/readyz")[0] == 200)

    # If no pod answers, no change is made, and it says so.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cluster.pods.clear()
        cluster.add(*(pod(f"silent-{number}", silent.getsockname()[1], cost="1") for number in range(3)))
        eventually(lambda: "no worker's pod says how many" in command.get("/readyz")[1])
        assert cluster.costs() == {f"silent-{number}": "1" for number in range(3)}
        # It ends although it waits for the pods.
        assert command.process.terminate() == 0
    assert "Traceback" not in command.process.output()


def _connect(cluster: SmallCluster) -> ClusterApi:
    return ClusterApi(f"https://127.0.0.1:{cluster.port}", cluster.account)


def test_a_thousand_changes_take_several_looks_and_pods_that_are_gone_are_forgotten(
    cluster: SmallCluster, worker: Callable[[int], IdleOrBusy], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = partial(held_attempts, deadline_s=PATIENCE_S)  # however busy the machine is
    monkeypatch.setattr(deletion_costs, "held_attempts", patient)
    one = worker(3)
    cluster.page = 1000
    cluster.add(*(pod(f"pod-{number}", one.port) for number in range(250)))
    costs = DeletionCosts(lambda: _connect(cluster), SELECTOR, every_s=0.5)

    with ThreadPoolExecutor(8) as readers:
        assert costs._look(readers, Event()) == ""
        assert (len(cluster.costs()), len(costs._written)) == (200, 200)
        assert costs._look(readers, Event()) == ""
        assert (len(cluster.costs()), len(costs._written)) == (250, 250)
        for number in range(240):
            del cluster.pods[f"pod-{number}"]
        costs._look(readers, Event())
        assert costs._written.keys() == {f"uid-of-pod-{number}" for number in range(240, 250)}


def test_a_replaced_pod_is_not_touched(cluster: SmallCluster, worker: Callable[[int], IdleOrBusy]) -> None:
    cluster.add(pod("one", worker(1).port))
    with _connect(cluster) as api:
        (listed,) = api.worker_pods(SELECTOR)
        cluster.add(pod("one", listed.port, uid="uid-of-its-successor"))

        assert api.write(CostChange(listed, 1)) == "gone"
        cluster.pods.clear()
        assert api.write(CostChange(listed, 1)) == "gone"
    assert cluster.patches == []


def test_another_authority_than_that_of_the_cluster_is_not_trusted(cluster: SmallCluster, tmp_path: Path) -> None:
    other = Authority("cluster", tmp_path)
    (cluster.account / "ca.crt").write_bytes(other.file.read_bytes())

    with _connect(cluster) as api, pytest.raises(ClusterUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        list(api.worker_pods(SELECTOR))
    assert (cluster.lists, cluster.refused) == (0, [])


def test_outside_of_a_cluster_the_command_refuses_to_start(tmp_path: Path) -> None:
    assert "runs in a pod of Kubernetes" in refused(tmp_path, "deletion-costs")
