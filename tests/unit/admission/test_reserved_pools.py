"""Worker pools that serve only some workspaces."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.admission.runs import Moment, NoWorker, QueuedRun, QueueState, admit, explain
from shared.admission.workers import NotServed, not_served, satisfies, worker_pool
from shared.transport.base import task_queue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GPU = {"worker-pool": "gpu", "disk": "big"}
RESERVED = {"gpu": frozenset({"acme", "beta"}), "default": frozenset({""})}
LABELS = st.dictionaries(st.sampled_from(["worker-pool", "disk"]), st.sampled_from(["gpu", "default", "big"]))


def test_a_reserved_pool_serves_its_workspaces_only() -> None:
    assert not_served(GPU, "acme", RESERVED) is None
    assert not_served(GPU, "gamma", RESERVED) == NotServed("gpu")
    assert not_served(GPU, "", RESERVED) == NotServed("gpu")
    # A selector without a pool means the default pool.
    assert not_served({"disk": "big"}, "acme", RESERVED) == NotServed("default")
    assert not_served({}, "", RESERVED) is None
    # A pool without a reservation serves all.
    assert not_served({"worker-pool": "other"}, "gamma", RESERVED) is None


NAMES = st.text("ab.=,", min_size=1, max_size=5)
SELECTORS = st.fixed_dictionaries({"worker-pool": NAMES}, optional={"b": NAMES, "a.b": NAMES, "b.b": NAMES})


@given(one=SELECTORS, other=SELECTORS)
def test_worker_pools_that_serve_have_no_broker_queue_in_common(one: dict[str, str], other: dict[str, str]) -> None:
    served = not_served(one, "gamma", RESERVED) is None and not_served(other, "gamma", RESERVED) is None
    if served and task_queue(one) == task_queue(other):
        assert worker_pool(one) == worker_pool(other)


def test_what_cannot_be_the_name_of_a_pool_serves_nobody() -> None:
    # Its broker queue would be that of {"worker-pool": "gpu", "x.com/y": "1"}.
    barred = not_served({"worker-pool": "gpu.x", "com/y": "1"}, "gamma", RESERVED)

    assert (
        str(barred)
        == "'gpu.x' is not the name of a worker pool: expected 1 to 40 lower-case letters, digits or underscores"
    )


@given(worker=LABELS, selector=LABELS, workspace=st.sampled_from(["", "acme", "gamma"]))
def test_no_worker_of_a_reserved_pool_matches_what_another_workspace_may_send(
    worker: dict[str, str], selector: dict[str, str], workspace: str
) -> None:
    if not_served(selector, workspace, RESERVED) is None and satisfies(worker, selector):
        served = RESERVED.get(worker_pool(worker))
        assert served is None or workspace in served


def test_a_run_waits_for_a_pool_that_serves_its_workspace_and_lets_others_go_first() -> None:
    moment = Moment(NOW, [GPU], reserved=RESERVED)
    waits, goes = (QueuedRun(name, NOW, selector=GPU, queue=f"{name}␟q") for name in ("gamma", "acme"))

    assert admit([waits, goes], moment, free=2).keys == ("acme",)
    assert str(explain(waits, moment, QueueState("gamma␟q", 1, 0))) == (
        "the worker pool gpu does not serve this workspace"
    )
    # Also if no worker is live: it would not help if one came.
    assert explain(waits, Moment(NOW, reserved=RESERVED), QueueState("gamma␟q", 1, 0)) == NotServed("gpu")
    assert explain(goes, Moment(NOW, reserved=RESERVED), QueueState("acme␟q", 1, 0)) == NoWorker(GPU)
