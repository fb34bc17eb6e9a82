"""From a run's rows, and the spec it was created from, to the API's run shapes (REST contract section 4)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

from services.api import shapes_dags, wire
from services.api.shapes_dags import sparse
from shared.spec.model import Dag, Handler, Step
from shared.spec.params import default_params_text, params_text, parse_params_text
from shared.status import RunStatus
from shared.store.reads import NodeRow, RunRow

__all__ = ["details", "grid", "node", "outputs", "run_params", "summary", "synthetic", "synthetic_details"]

STEP, HANDLER = "step", "handler"
_HANDLER_FIELDS = (Handler.SUCCESS, Handler.FAILURE, Handler.ABORT, Handler.EXIT)
"""The handlers that are shown, in the grid's order; a handler's name is its field."""
_NOT_BEGUN = frozenset({RunStatus.NOT_STARTED.value, RunStatus.QUEUED.value})
_EMPTY_NODE: Mapping[str, Any] = {
    "stdout": "",
    "stderr": "",
    "startedAt": "-",
    "finishedAt": "-",
    "status": 0,
    "statusLabel": "not_started",
    "retryCount": 0,
    "doneCount": 0,
    "subRuns": [],
    "subRunsRepeated": [],
}


def summary(run: RunRow, zone: tzinfo | None) -> dict[str, Any]:
    """Return a run as lists show it."""
    return {
        "rootDAGRunName": run.root_dag_name,
        "rootDAGRunId": run.root_dag_run_id,
        **sparse(parentDAGRunName=run.parent_dag_name, parentDAGRunId=run.parent_dag_run_id),
        "dagRunId": run.dag_run_id,
        "name": run.dag_name,
        "status": wire.run_status(run.status),
        "statusLabel": run.status,
        "startedAt": wire.timestamp(run.started_at, zone),
        "finishedAt": wire.timestamp(run.finished_at, zone),
        "log": _log_path(run.dag_name, run.dag_run_id, "run"),
        **sparse(
            queuedAt=wire.timestamp(run.queued_at, zone), params=run_params(run), workerId=run.worker_id, error=run.error
        ),
    }


def details(run: RunRow, nodes: Sequence[NodeRow], dag: Dag | None, zone: tzinfo | None) -> dict[str, Any]:
    """Return a run with its nodes; ``dag`` is what its own spec meant, if that can still be read."""
    steps = {each.name: each for each in dag.steps} if dag else {}
    handlers = dag.handlers if dag else {}
    handler_rows = {each.name: each for each in nodes if each.kind == HANDLER}
    shown = {
        handler.value: (
            node(run, handler_rows[handler.value], handlers.get(handler), zone)
            if handler.value in handler_rows
            else {"step": shapes_dags.step(handlers[handler]), **_EMPTY_NODE}
        )
        for handler in _HANDLER_FIELDS
        if handler in handlers or handler.value in handler_rows
    }
    return {
        **summary(run, zone),
        "nodes": [node(run, each, steps.get(each.name), zone) for each in nodes if each.kind == STEP],
        **shown,
        "preconditions": [shapes_dags.condition(each) for each in dag.preconditions] if dag else [],
    }


def node(run: RunRow, row: NodeRow, step: Step | None, zone: tzinfo | None) -> dict[str, Any]:
    """Return one node. Its log paths are names, not files: a non-empty one says there is a log."""
    none = "-" if run.status in _NOT_BEGUN else ""
    logged = row.started_at is not None
    return {
        "step": shapes_dags.step(step) if step else {"name": row.name, "executorConfig": {"config": {}}},
        "stdout": row.stdout or (_log_path(run.dag_name, run.dag_run_id, f"{row.name}.stdout") if logged else ""),
        "stderr": row.stderr or (_log_path(run.dag_name, run.dag_run_id, f"{row.name}.stderr") if logged else ""),
        "startedAt": wire.timestamp(row.started_at, zone, none),
        "finishedAt": wire.timestamp(row.finished_at, zone, none),
        "status": wire.node_status(row.status),
        "statusLabel": row.status,
        "retryCount": row.retry_count,
        "doneCount": row.done_count,
        "subRuns": [],
        "subRunsRepeated": [],
        **sparse(error=row.error),
    }


def synthetic(name: str, params: str) -> dict[str, Any]:
    """Return the latest run of a dag that never ran."""
    return {
        "rootDAGRunName": "",
        "rootDAGRunId": "",
        "dagRunId": "",
        "name": name,
        "status": 0,
        "statusLabel": RunStatus.NOT_STARTED.value,
        "startedAt": "",
        "finishedAt": "",
        "log": "",
        **sparse(params=params),
    }


def synthetic_details(dag: Dag) -> dict[str, Any]:
    """Return the same with every step, not started."""
    defaults = " ".join(f"{param.name}={param.value}" for param in dag.params)
    return {
        **synthetic(dag.name, defaults),
        "nodes": [{"step": shapes_dags.step(each), **_EMPTY_NODE} for each in dag.steps],
        **{
            handler.value: {"step": shapes_dags.step(dag.handlers[handler]), **_EMPTY_NODE}
            for handler in _HANDLER_FIELDS
            if handler in dag.handlers
        },
        "preconditions": [shapes_dags.condition(each) for each in dag.preconditions],
    }
