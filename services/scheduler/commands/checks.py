"""What several commands must know before they change anything, and how a run is told something."""

from typing import Any

from services.scheduler.commands.dags import AlreadyRunning
from services.scheduler.core.decision import Refused
from services.scheduler.core.messages import Approve, Dequeue, PatchNode, Reject, Retry, Stop
from services.scheduler.deciding.batch import Batch
from shared.contracts.commands import StartRun
from shared.errors import AlreadyExists, Conflict, DagwayError, InvalidInput, NotFound
from shared.ids import DAG_NAME_RULE, RUN_ID_RULE, valid_dag_name, valid_run_id
from shared.language.expansion.resolve import only_defaults
from shared.language.model import Dag
from shared.language.steps.requirements import Capabilities, steps_with_requirements, unsatisfied

__all__ = [
    "MaxRunReached",
    "NotRunning",
    "RefusedByCore",
    "check_dag_name",
    "check_edits",
    "check_free",
    "check_singleton",
    "check_workers",
    "find",
    "find_below",
    "tell",
    "tell_key",
]


_Told = Stop | Dequeue | Retry | PatchNode | Approve | Reject


class MaxRunReached(Conflict):
    """As many runs as allowed are there already."""

    code = "max_run_reached"


class NotRunning(Conflict):
    """There is nothing to stop."""

    code = "not_running"


class RefusedByCore(DagwayError):
    """The core's refusal on its way to the reply."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


def check_dag_name(name: str) -> None:
    """Raise ``InvalidInput`` for what cannot be a dag's name."""
    if not valid_dag_name(name):
        raise InvalidInput(f"dagName: {name!r} must be {DAG_NAME_RULE}")


def check_edits(dag: Dag, command: StartRun) -> None:
    """Raise ``InvalidInput`` for what the dag forbids people to change when they start it."""
    config = dag.run_config
    if config.disable_param_edit and command.own_params and not only_defaults(dag, command.params):
        raise InvalidInput("params: the DAG allows none but its defaults (runConfig.disableParamEdit)")
    if config.disable_run_id_edit and command.own_run_id:
        raise InvalidInput("dagRunId: the DAG does not let it be chosen (runConfig.disableRunIdEdit)")


def check_singleton(batch: Batch, dag_name: str, *, queued: bool) -> None:
    """Raise where a singleton may not start, or (``queued``) not be queued."""
    active = batch.tx.runs.count_active(dag_name)
    if active.get("running"):
        raise AlreadyRunning(f"DAG {dag_name} is running already (singleton)")
    if queued and active.get("queued"):
        raise MaxRunReached(f"DAG {dag_name} is queued already (singleton)")


def check_free(batch: Batch, dag_name: str, dag_run_id: str) -> None:
    """Raise where a run id cannot be used, or is used already."""
    if not valid_run_id(dag_run_id):
        raise InvalidInput(f"dagRunId: {dag_run_id!r} must be {RUN_ID_RULE}")
    if batch.runs.key_of(dag_name, dag_run_id) is not None:
        raise AlreadyExists(f"DAG-run {dag_run_id} of {dag_name} already exists")


def check_workers(batch: Batch, dag: Dag) -> None:
    """Raise ``InvalidInput`` for steps that no live worker can do; without any worker nothing is known."""
    steps = steps_with_requirements([dag])
    if not steps:
        return
    live = batch.tx.leases.taking_work(batch.now)
    if problems := unsatisfied(steps, [Capabilities(row["labels"], row["executors"] or ()) for row in live]):
        raise InvalidInput("; ".join(problems))


def find(batch: Batch, dag_name: str, dag_run_id: str) -> str:
    """Return the key of a run, loaded and locked; ``latest`` is the newest. Raises ``NotFound``."""
    key = batch.tx.runs.newest_key(dag_name) if dag_run_id == "latest" else batch.runs.key_of(dag_name, dag_run_id)
    if key is not None:
        batch.runs.load([key])
    if key is None or batch.runs.get(key) is None:
        raise NotFound(f"DAG-run {dag_run_id} of {dag_name} not found")
    return key


def find_below(batch: Batch, root: str, dag_run_id: str) -> str:
    """Return the key of a run of any depth below a root, loaded and locked. Raises ``NotFound``."""
    key = batch.tx.children.key(root, dag_run_id)
    if key is not None:
        batch.runs.load([key])
    if key is None or batch.runs.get(key) is None:
        raise NotFound(f"there is no sub run {dag_run_id} below that run")
    return key


def tell(batch: Batch, dag_name: str, dag_run_id: str, message: _Told) -> dict[str, Any]:
    """Apply ``message`` to a run by its name."""
    return tell_key(batch, find(batch, dag_name, dag_run_id), message)


def tell_key(batch: Batch, key: str, message: _Told) -> dict[str, Any]:
    """Apply ``message`` to a loaded run. Raises ``RefusedByCore``."""
    decision = batch.apply(key, message)
    if isinstance(decision, Refused):
        raise RefusedByCore(decision)
    return {}
