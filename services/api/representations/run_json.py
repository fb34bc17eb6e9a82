"""The JSON of runs and nodes, made from their rows and from the runs' own specs (as in Dagu's REST API v2)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from services.api.representations import dag_json, json_values
from services.api.representations.expanded_commands import ExpandedCommands
from services.api.representations.json_values import sparse
from shared.contracts.tasks import HANDLER, PREPARE, STEP
from shared.language.expansion.params_syntax import params_pairs, params_text
from shared.language.expansion.secret_params import show_params
from shared.language.model import Dag, Handler, Step
from shared.status import RunStatus, StopReason
from shared.store.reads.reader import NodeRow, RunRow

__all__ = ["RunFacts", "details", "grid", "outputs", "summary", "synthetic", "synthetic_details"]

_GRID_HANDLERS = (Handler.SUCCESS, Handler.FAILURE, Handler.ABORT, Handler.EXIT)
"""The handlers that ``gridData`` has, as in Dagu."""
_STOPPED = frozenset({StopReason.STOP, StopReason.TIMEOUT})
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


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What the JSON of a run contains besides its rows. The keys of mappings are node indexes."""

    dag: Dag | None
    """The DAG parsed from the run's own spec, or ``None`` if the spec cannot be read any more."""
    called_earlier: Mapping[int, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """Id and parameters of the sub-runs that earlier repetitions of a step called."""
    waits_for: str = ""
    nodes_wait_for: Mapping[int, str] = field(default_factory=dict)
    attempt_counts: Mapping[int, int] = field(default_factory=dict)
    """How many attempts a step had, where it is more than one."""


def summary(run: RunRow, zone: tzinfo | None, waits_for: str = "") -> dict[str, Any]:
    """Return the JSON of a run for lists; ``waits_for`` is what it waits for, if none of its steps runs."""
    return {
        "rootDAGRunName": run.root.dag_name,
        "rootDAGRunId": run.root.dag_run_id,
        **(sparse(parentDAGRunName=run.parent.dag_name, parentDAGRunId=run.parent.dag_run_id) if run.parent else {}),
        "dagRunId": run.dag_run_id,
        "name": run.dag_name,
        "status": json_values.run_status(run.status),
        "statusLabel": run.status.value,
        "startedAt": json_values.timestamp(run.started_at, zone),
        "finishedAt": json_values.timestamp(run.finished_at, zone),
        "log": _log_path(run.dag_name, run.dag_run_id, "run"),
        **sparse(
            queuedAt=json_values.timestamp(run.queued_at, zone),
            params=_run_params(run),
            workerId=run.worker_id,
            error=run.error,
            waitingFor=waits_for,
            firstStartedAt=json_values.timestamp(run.first_started_at, zone),
            runAttempt=run.run_attempt if run.run_attempt > 1 else None,
            startedBy=run.started_by,
            scheduleTime=json_values.timestamp(run.scheduled_at, zone),
            durationMs=json_values.duration_ms(run.started_at, run.finished_at),
            stopping=run.status is RunStatus.RUNNING and run.stop_reason in _STOPPED,
        ),
    }


def details(run: RunRow, facts: RunFacts, zone: tzinfo | None) -> dict[str, Any]:
    """Return the JSON of a run with its nodes."""
    dag, nodes = facts.dag, run.nodes or ()
    steps = {each.name: each for each in dag.steps} if dag else {}
    handlers = dag.handlers if dag else {}
    handler_rows = {each.name: each for each in nodes if each.kind == HANDLER}
    unmet = next((each.unmet for each in nodes if each.kind == PREPARE), None)
    expanded = ExpandedCommands(run)
    shown = {
        handler.value: (
            _node(run, handler_rows[handler.value], handlers.get(handler), facts, expanded=expanded, zone=zone)
            if handler.value in handler_rows
            else {"step": dag_json.step(handlers[handler]), **_EMPTY_NODE}
        )
        for handler in Handler
        if handler in handlers or handler.value in handler_rows
    }
    return {
        **summary(run, zone, facts.waits_for),
        "nodes": [
            _node(run, each, steps.get(each.name), facts, expanded=expanded, zone=zone)
            for each in nodes
            if each.kind == STEP
        ],
        **shown,
        "preconditions": dag_json.conditions(dag.preconditions, unmet) if dag else [],
        **sparse(traceId=_trace_id(run.trace)),
    }


def _trace_id(traceparent: str) -> str:
    return traceparent.split("-")[1] if traceparent else ""


def _node(
    run: RunRow,
    row: NodeRow,
    step: Step | None,
    facts: RunFacts,
    *,
    expanded: ExpandedCommands,
    zone: tzinfo | None,
) -> dict[str, Any]:
    """Return the JSON of a node. Its log paths name no files: a client only tests whether they are empty (no log)."""
    none = "-" if run.status.to_begin else ""
    started = row.started_at is not None
    stdout, stderr = _log_paths(run, row)
    shown: dict[str, Any] = dag_json.step(step) if step else {"name": row.name, "executorConfig": {"config": {}}}
    if started:
        expanded.expand(shown, row)
    if step and row.unmet:
        shown["preconditions"] = dag_json.conditions(step.preconditions, row.unmet)
    return {
        "step": shown,
        "stdout": stdout,
        "stderr": stderr,
        "startedAt": json_values.timestamp(row.started_at, zone, none),
        # The status of a node that never started may be final, but then the node has not finished either.
        "finishedAt": json_values.timestamp(row.finished_at if started else None, zone, none),
        "status": json_values.node_status(row.status),
        "statusLabel": row.status.value,
        "retryCount": row.retry_count,
        "doneCount": row.done_count,
        "subRuns": _sub_runs(row.children),
        "subRunsRepeated": _sub_runs(facts.called_earlier.get(row.idx, ())),
        **sparse(
            error=row.error,
            waitingFor=facts.nodes_wait_for.get(row.idx),
            durationMs=json_values.duration_ms(row.started_at, row.finished_at),
            attemptCount=facts.attempt_counts.get(row.idx),
        ),
        **({} if row.exit_code is None else {"exitCode": row.exit_code}),
        **(_approval(row.approval, zone) if row.approval else {}),
        **(_annotations(row.said) if row.said else {}),
    }


def _sub_runs(called: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"dagRunId": run_id, **sparse(params=params)} for run_id, params in called]


def _log_paths(run: RunRow, row: NodeRow) -> tuple[str, str]:
    """Return the log paths of stdout and stderr; empty if the node never started or has the result of another run."""
    if row.started_at is None or row.number == 0:
        return "", ""
    stdout = row.stdout or _log_path(run.dag_name, run.dag_run_id, f"{row.name}.stdout")
    # Without a file for stderr, its lines are in the file of stdout (``logOutput: merged``).
    stderr = row.stderr or row.stdout or _log_path(run.dag_name, run.dag_run_id, f"{row.name}.stderr")
    return stdout, stderr


def _annotations(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of a step: additions to Dagu's API."""
    found: dict[str, Any] = {}
    if progress := said.get("progress"):
        current, total = progress["current"], progress["total"]
        found["progress"] = {
            "current": current,
            "total": total,
            "percent": round(100 * current / total, 1),
            "text": progress.get("text", ""),
        }
    if remarks := said.get("remarks"):
        found["remarks"] = [{"level": one["level"], "text": one["text"]} for one in remarks]
    return found


def _approval(said: Mapping[str, Any], zone: tzinfo | None) -> dict[str, Any]:
    """Return the approval or rejection of a step. In this JSON, input names are in camel case."""
    at, by = json_values.timestamp(datetime.fromisoformat(said["at"]), zone), said.get("by")
    if not said["granted"]:
        return {"rejectedAt": at, **sparse(rejectedBy=by, rejectionReason=said.get("reason"))}
    inputs = {_camel(name): value for name, value in said.get("inputs", {}).items()}
    return {"approvedAt": at, **sparse(approvedBy=by, approvalInputs=inputs)}


def synthetic(name: str, params: str) -> dict[str, Any]:
    """Return the latest run for lists if the DAG never ran: a run that is not started."""
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
    """Return the latest run with nodes if the DAG never ran: no step is started."""
    defaults = " ".join(f"{param.name}={param.value}" for param in dag.params)
    return {
        **synthetic(dag.name, defaults),
        "nodes": [{"step": dag_json.step(each), **_EMPTY_NODE} for each in dag.steps],
        **{
            handler.value: {"step": dag_json.step(dag.handlers[handler]), **_EMPTY_NODE}
            for handler in Handler
            if handler in dag.handlers
        },
        "preconditions": dag_json.conditions(dag.preconditions),
    }


def grid(runs: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Return one row per step: its status numbers in ``runs``, 0 where a run does not have the step."""
    statuses = [
        {(each.kind, each.name): json_values.node_status(each.status) for each in run.nodes or ()} for run in runs
    ]
    seen = {key for each in statuses for key in each}
    steps = sorted(name for kind, name in seen if kind == STEP)
    handlers = [handler.value for handler in _GRID_HANDLERS if (HANDLER, handler.value) in seen]
    rows = [(STEP, name) for name in steps] + [(HANDLER, name) for name in handlers]
    return [{"name": key[1], "history": [each.get(key, 0) for each in statuses]} for key in rows]


def outputs(run: RunRow, dag: Dag | None, zone: tzinfo | None) -> dict[str, Any]:
    """Return the outputs of a run's steps by key, or by name in camel case. The value of a later step wins."""
    steps = {each.name: each for each in dag.steps} if dag else {}
    found: dict[str, str] = {}
    for each in run.nodes or ():
        step = steps.get(each.name)
        if each.kind != STEP or step is None or step.output is None or step.output.omit:
            continue
        if step.output.name in each.outputs:
            found[step.output.key or _camel(step.output.name)] = str(each.outputs[step.output.name])
    return {
        "metadata": {
            "dagName": run.dag_name,
            "dagRunId": run.dag_run_id,
            "attemptId": str(run.run_attempt),
            "status": run.status.value,
            "completedAt": json_values.timestamp(run.finished_at, zone, json_values.NEVER),
            "params": _params_list(run),
        },
        "outputs": found,
    }


def _params_list(run: RunRow) -> str:
    """Return the parameters as the text of a JSON list, or an empty text if there are none."""
    pairs = [f"{name}={value}" for name, value in _pairs(run)]
    return json.dumps(pairs, ensure_ascii=False, separators=(",", ":")) if pairs else ""


def _run_params(run: RunRow) -> str:
    """Return the parameters of a run: as evaluated, or as given as long as they are not evaluated."""
    return params_text(_pairs(run)) if run.params or run.given else ""


def _pairs(run: RunRow) -> tuple[tuple[str, str], ...]:
    if run.params:
        return run.shown_params
    return show_params(params_pairs(run.given), run.asked_as)


def _camel(name: str) -> str:
    first, *rest = [word for word in name.lower().split("_") if word] or [name]
    return first + "".join(word.capitalize() for word in rest)


def _log_path(*parts: str) -> str:
    return "/".join([part.replace("/", "_") if "/" in part else part for part in parts]) + ".log"
