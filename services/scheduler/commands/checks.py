"""Checks that several handlers share, and functions with which they find and change runs."""

from collections import Counter

from services.scheduler.core.decision import Advanced, Refused
from services.scheduler.core.messages import Approve, Dequeue, PatchNode, Reject, Retry, Stop
from services.scheduler.core.model import Run
from services.scheduler.deciding.batch import Batch
from shared.errors import AlreadyExists, Conflict, DagwayError, InvalidInput, NotFound
from shared.ids import DAG_NAME_RULE, MOST_QUEUE_CHARS, RUN_ID_RULE, valid_dag_name, valid_run_id
from shared.language.expansion.resolve import only_defaults
from shared.language.model import Dag
from shared.status import NodeStatus
from shared.workspaces import check_length, plain_name

__all__ = [
    "AlreadyRunning",
    "MaxRunReached",
    "NotRunning",
    "RefusedByCore",
    "apply_to_run",
    "check_dag_name",
    "check_new_run_id",
    "check_none_active",
    "check_queue_name",
    "check_run_config",
    "check_run_id",
    "check_singleton",
    "find_run",
    "find_sub_run",
    "node_status",
]


class AlreadyRunning(Conflict):
    """The run has not ended, or the DAG has a running run."""

    code = "already_running"


class MaxRunReached(Conflict):
    """The DAG already has as many active runs as it may have."""

    code = "max_run_reached"


class NotRunning(Conflict):
    """The run is not running, so it cannot be stopped."""

    code = "not_running"


class RefusedByCore(DagwayError):
    """The core refused the message. ``carry_out`` converts this error to a reply."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


def check_dag_name(name: str, field: str = "dagName") -> None:
    """Raise ``InvalidInput`` if ``name`` is not a valid DAG name. ``field`` is the request field in the error text."""
    if not valid_dag_name(plain_name(name)):
        raise InvalidInput(f"{field}: {name!r} must be {DAG_NAME_RULE}")


def check_queue_name(name: str) -> None:
    """Raise ``InvalidInput`` if no queue can have this stored name."""
    if not name:
        raise InvalidInput("name: the name of the queue is missing")
    check_length(name, MOST_QUEUE_CHARS, "name")


def check_run_id(dag_run_id: str) -> None:
    """Raise ``InvalidInput`` if ``dag_run_id`` is not a valid run id."""
    if not valid_run_id(dag_run_id):
        raise InvalidInput(f"dagRunId: {dag_run_id!r} must be {RUN_ID_RULE}")


def check_run_config(dag: Dag, *, own_run_id: bool, own_params: str | None = None) -> None:
    """Raise ``InvalidInput`` if the caller chose what the DAG's ``runConfig`` forbids.

    It holds for every new run that a request starts, also for one that repeats another run. ``own_params``: the params,
    if the caller chose them.
    """
    config = dag.run_config
    if config.disable_param_edit and own_params is not None and not only_defaults(dag, own_params):
        raise InvalidInput("params: the DAG allows only its defaults (runConfig.disableParamEdit)")
    if config.disable_run_id_edit and own_run_id:
        raise InvalidInput("dagRunId: the DAG does not allow a chosen id (runConfig.disableRunIdEdit)")


def check_singleton(batch: Batch, dag_name: str, *, queued: bool) -> None:
    """Check that a singleton run may start or, with ``queued``, may be queued.

    Raises:
        AlreadyRunning: the DAG has a running run.
        MaxRunReached: ``queued``, and the DAG has a queued run.
    """
    active = _count_singletons(batch, dag_name)
    if active["running"]:
        raise AlreadyRunning(f"DAG {dag_name!r} is already running (singleton)")
    if queued and active["queued"]:
        raise MaxRunReached(f"DAG {dag_name!r} is already queued (singleton)")


def check_none_active(batch: Batch, dag_name: str) -> None:
    """Check that a singleton run may start, with one error for both a running and a queued run.

    Raises:
        MaxRunReached: the DAG has a running or queued run.
    """
    active = _count_singletons(batch, dag_name)
    if active["running"] or active["queued"]:
        raise MaxRunReached(f"DAG {dag_name!r} is already running or queued (singleton)")


def _count_singletons(batch: Batch, dag_name: str) -> Counter[str]:
    """Return how many runs of a DAG are active. Until the transaction ends, no other singleton run of it starts."""
    batch.tx.runs.lock_singletons(dag_name)
    return batch.runs.count_active(dag_name)


def check_new_run_id(batch: Batch, dag_name: str, dag_run_id: str) -> None:
    """Raise ``InvalidInput`` if the run id is not valid, or ``AlreadyExists`` if the DAG has a run with this id."""
    check_run_id(dag_run_id)
    if batch.runs.key_of(dag_name, dag_run_id) is not None:
        raise AlreadyExists(f"DAG {dag_name!r} already has a run {dag_run_id!r}")


def node_status(text: str) -> NodeStatus:
    """Return the node status with the label ``text``. Raises ``InvalidInput`` if there is none."""
    try:
        return NodeStatus(text)
    except ValueError as error:
        raise InvalidInput(f"status: {text!r} is not a step status") from error


def find_run(batch: Batch, dag_name: str, dag_run_id: str) -> Run:
    """Load, lock and return a root run; the run id ``latest`` means the DAG's newest run. Raises ``NotFound``."""
    key = batch.tx.runs.newest_key(dag_name) if dag_run_id == "latest" else batch.runs.key_of(dag_name, dag_run_id)
    run = _load(batch, key)
    if run is None:
        raise NotFound(f"DAG {dag_name!r} has no run {dag_run_id!r}")
    return run


def find_sub_run(batch: Batch, root: Run, dag_run_id: str) -> Run:
    """Load, lock and return a sub-run at any depth below ``root``. Raises ``NotFound``."""
    run = _load(batch, batch.tx.children.keys(root.run_key, [dag_run_id]).get(dag_run_id))
    if run is None:
        raise NotFound(f"Run {root.dag_run_id!r} has no sub-run {dag_run_id!r}")
    return run


def _load(batch: Batch, key: str | None) -> Run | None:
    if key is None:
        return None
    batch.runs.load([key])
    return batch.runs.get(key)


def apply_to_run(batch: Batch, run: Run, message: Stop | Dequeue | Retry | PatchNode | Approve | Reject) -> Run:
    """Apply ``message`` to a run of the batch and return the run after it. Raises ``RefusedByCore``."""
    match batch.apply(run.run_key, message):
        case Refused() as refused:
            raise RefusedByCore(refused)
        case Advanced(run=changed):
            return changed
        case _:
            return run
