"""Which pods get which deletion cost, and when."""

from typing import Any

import pytest

from services.kubernetes.costs import ANNOTATION, CostChange, WorkerPod, cost_of, due_changes, worker_pod
from tests.harness.small_cluster import pod as pod_json

REST_S = 60.0
NOW = 1000.0


@pytest.mark.parametrize(
    ("held", "cost"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (100, 7), (10_000, 14), (2**80, 31)]
)
def test_the_cost_is_coarse_and_grows_with_what_a_worker_holds(held: int, cost: int) -> None:
    assert cost_of(held) == cost


def _pod(name: str = "a", cost: int | None = 0) -> WorkerPod:
    return WorkerPod(name, name, "10.0.0.1", 9000, cost)


@pytest.mark.parametrize(
    ("has", "held", "written_s_ago", "gets"),
    [
        pytest.param(0, 0, None, None, id="an idle pod keeps 0, and a new one needs no annotation"),
        pytest.param(0, 1, None, 1, id="a pod that becomes busy"),
        pytest.param(0, 5, 1, 3, id="a pod that becomes busy does not wait"),
        pytest.param(3, 7, None, None, id="more attempts of the same cost"),
        pytest.param(3, 8, 59, None, id="a busy pod waits with a higher cost"),
        pytest.param(3, 8, 60, 4, id="until the last change is old"),
        pytest.param(3, 0, 59, None, id="a pod that becomes idle waits"),
        pytest.param(3, 0, 60, 0, id="a pod that has become idle"),
        pytest.param(3, 0, None, 0, id="what an earlier process wrote is changed at once"),
        pytest.param(None, 0, None, 0, id="an annotation that is no number"),
        pytest.param(-5, 0, None, 0, id="a cost that somebody else wrote"),
        pytest.param(2, None, None, None, id="a pod that does not answer keeps what it has"),
        pytest.param(0, None, None, None, id="a new pod that does not answer yet"),
    ],
)
def test_a_change_is_due(has: int | None, held: int | None, written_s_ago: float | None, gets: int | None) -> None:
    pod = _pod(cost=has)
    known = {} if held is None else {"a": held}
    written = {} if written_s_ago is None else {"a": NOW - written_s_ago}

    changes = due_changes([pod], known, written, now=NOW, rest_s=REST_S)

    assert changes == ([] if gets is None else [CostChange(pod, gets)])


def test_at_the_start_of_the_clock_nothing_waits() -> None:
    """A monotonic clock may begin at 0."""
    assert due_changes([_pod(cost=3)], {"a": 0}, {}, now=0.0, rest_s=REST_S) == [CostChange(_pod(cost=3), 0)]


def test_a_pod_changes_twice_in_the_rest_at_most_however_its_load_jumps() -> None:
    cost, changes = 0, 0
    written: dict[str, float] = {}
    for look in range(41):  # ten minutes, one every 15 s
        for change in due_changes([_pod(cost=cost)], {"a": look % 2}, written, now=15.0 * look, rest_s=REST_S):
            cost, changes = change.cost, changes + 1
            written["a"] = 15.0 * look

    assert 10 <= changes <= 20


def test_pods_that_would_be_ended_although_they_are_busy_come_first() -> None:
    pods = [_pod("slightly", 3), _pod("idle", 7), _pod("busy", 0), _pod("busiest", 0)]
    held = {"slightly": 8, "idle": 0, "busy": 1, "busiest": 90}

    changes = due_changes(pods, held, {}, now=NOW, rest_s=REST_S)

    assert [(each.pod.name, each.cost) for each in changes] == [
        ("busiest", 7),
        ("busy", 1),
        ("idle", 0),
        ("slightly", 4),
    ]


def test_a_pod_is_read() -> None:
    item = pod_json("a", 9000)

    assert worker_pod(item) == WorkerPod("a", "uid-of-a", "127.0.0.1", 9000, 0)
    assert worker_pod(pod_json("a", 9000, cost="3")) == WorkerPod("a", "uid-of-a", "127.0.0.1", 9000, 3)
    assert worker_pod(pod_json("a", 9000, cost="many")) == WorkerPod("a", "uid-of-a", "127.0.0.1", 9000, None)
    assert worker_pod({**item, "metadata": {**item["metadata"], "annotations": {ANNOTATION: "-2"}}}) == WorkerPod(
        "a", "uid-of-a", "127.0.0.1", 9000, -2
    )


def test_a_container_beside_the_worker_changes_nothing() -> None:
    item = pod_json("a", 9000)
    beside = [
        {"name": "proxy"},
        {"name": "shipper", "ports": [{"containerPort": 24224}, {"name": "x", "containerPort": 1}]},
    ]
    item["spec"]["containers"] = [*beside, *item["spec"]["containers"], *beside]

    found = worker_pod(item)

    assert found is not None
    assert found.port == 9000


def _with(part: str, **fields: Any) -> dict[str, Any]:
    item = pod_json("a", 9000)
    return {**item, part: {**item[part], **fields}}


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(_with("metadata", deletionTimestamp="2026-11-28T10:00:00Z"), id="being deleted"),
        pytest.param(pod_json("a", 9000, owner="StatefulSet"), id="of a StatefulSet"),
        pytest.param(_with("metadata", ownerReferences=None), id="of nobody"),
        pytest.param(
            _with("metadata", ownerReferences=[{"kind": "ReplicaSet", "name": "x"}]),
            id="of one that does not control it",
        ),
        pytest.param(_with("status", phase="Pending"), id="not started"),
        pytest.param(_with("status", phase="Succeeded"), id="ended"),
        pytest.param(_with("status", podIP=None), id="without an address"),
        pytest.param(_with("spec", containers=[{"name": "worker", "ports": None}]), id="without metrics"),
    ],
)
def test_the_cost_of_such_a_pod_does_not_matter(item: dict[str, Any]) -> None:
    assert worker_pod(item) is None
