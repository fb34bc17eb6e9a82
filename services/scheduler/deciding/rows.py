"""Converts between database rows and the frozen state of the core. Makes no decisions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Any

from services.scheduler.core.child_states import STATE_OF, Child, Children
from services.scheduler.core.decision import AddLog, ClosedAttempt, Execution, Transition
from services.scheduler.core.model import NO_CHILDREN, Approval, Node, OpenAttempt, Run
from services.scheduler.core.plan import STEP, Plan
from shared.contracts.events import LogChunk
from shared.status import AttemptState, NodeStatus, RunStatus, StopReason
from shared.transport.base import BrokerQueue, Durability

__all__ = [
    "FRESH_STEP",
    "added_log_row",
    "attempt_row",
    "broker_queue_of_row",
    "broker_queue_row",
    "chunk_row",
    "execution_row",
    "new_run_row",
    "node_changes",
    "node_row",
    "plan_key",
    "run_changes",
    "run_from_rows",
    "run_row",
    "transition_row",
]

Row = Mapping[str, Any]

_APART = "statesApart"
"""In the first of a node's stored calls: who wrote them knows ``child_states``, so that column is up to date."""

_SAME_IN_RUN = (
    *("run_key", "version", "last_seq", "run_attempt", "queue", "priority", "given", "params_json", "worker_id"),
    *("incarnation", "error", "queued_at", "started_at", "finished_at", "first_started_at"),
)
"""The columns of a run that decisions may change and that the core has as they are, in a field of the same name."""
_FIXED_IN_RUN = ("dag_name", "dag_run_id", "created_at", "called_from", "scheduled_at")
"""Those that never change after the run was created."""


def run_from_rows(row: Row, node_rows: Iterable[Row], plan: Plan, root: tuple[str, str] | None = None) -> Run:
    """Convert the rows of a run and its nodes. ``root``: the (DAG name, run id) of its root run, for a sub-run."""
    root_name, root_id = root or (row["dag_name"], row["dag_run_id"])
    return Run(
        **{name: row[name] for name in (*_SAME_IN_RUN, *_FIXED_IN_RUN)},
        plan=plan,
        root_dag_name=root_name,
        root_dag_run_id=root_id,
        status=RunStatus(row["status"]),
        nodes=tuple(_node(node) for node in node_rows),
        params=tuple((name, value) for name, value in row["params"]),
        env=tuple((name, value) for name, value in row["env"]),
        stop_reason=StopReason(row["stop_reason"]) if row["stop_reason"] else None,
        only_step=row["only_step"] or "",
        asked_as=row["parent_params"] or "",
    )


def _node(row: Row) -> Node:
    attempt = None
    if row["token"] is not None:
        attempt = OpenAttempt(
            token=row["token"],
            state=AttemptState(row["token_state"]),
            dispatched_at=row["dispatched_at"],
            worker_id=row["token_worker"],
            incarnation=row["token_incarnation"],
        )
    # Each by its name, which is faster: a run may have thousands.
    return Node(
        idx=row["idx"],
        kind=row["kind"],
        name=row["name"],
        status=NodeStatus(row["status"]),
        number=row["number"],
        retry_count=row["retry_count"],
        done_count=row["done_count"],
        exit_code=row["exit_code"],
        error=row["error"],
        stdout=row["stdout"],
        stderr=row["stderr"],
        outputs=MappingProxyType(row["outputs"]),
        output_matched=row["output_matched"],
        unmet=tuple(row["unmet"] or ()),
        children=_children(row),
        call_token=row["call_token"],
        approval=_approval(row["approval"]) if row["approval"] else None,
        admission=row["admission"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        retry_at=row["retry_at"],
        attempt=attempt,
    )


def _children(row: Row) -> Children:
    calls, states = row["children"], row["child_states"]
    if not calls:
        return NO_CHILDREN
    # An earlier version that has written the calls has their states among them, and lets the column stand as it was.
    marked = _APART in calls[0]
    apart = marked and states is not None and len(states) == len(calls)
    known = [STATE_OF[letter] for letter in states] if apart else [call["state"] for call in calls]
    return Children(map(_child, calls, known), rewrite=not marked)


def _child(facts: Mapping[str, str], state: str) -> Child:
    return Child(
        run_id=facts["dagRunId"],
        dag=facts["dag"],
        params=facts["params"],
        given=facts.get("given", facts["params"]),
        state=state,
        error=facts.get("error", ""),
        folder=facts.get("folder", ""),
    )


def _approval(facts: Mapping[str, Any]) -> Approval:
    return Approval(
        granted=facts["granted"],
        at=datetime.fromisoformat(facts["at"]),
        by=facts.get("by", ""),
        inputs=MappingProxyType(facts.get("inputs", {})),
        reason=facts.get("reason", ""),
    )


def _approval_json(approval: Approval) -> dict[str, Any]:
    facts = {"by": approval.by, "inputs": dict(approval.inputs), "reason": approval.reason}
    given = {name: value for name, value in facts.items() if value}
    return {"granted": approval.granted, "at": approval.at.isoformat(), **given}


def _child_json(child: Child) -> dict[str, str]:
    facts = {"dagRunId": child.run_id, "dag": child.dag, "params": child.params, "state": child.state}
    if child.given != child.params:
        facts["given"] = child.given
    optional = {"error": child.error, "folder": child.folder}
    return facts | {name: value for name, value in optional.items() if value}


def _children_json(children: Children) -> list[dict[str, str]]:
    found = [_child_json(child) for child in children]
    if found:
        found[0][_APART] = "yes"
    return found


def _same_named(*names: str) -> dict[str, Callable[[Any], Any]]:
    return {name: attrgetter(name) for name in names}


_RUN_COLUMNS: Mapping[str, Callable[[Run], Any]] = _same_named(*_SAME_IN_RUN, "params", "env", "stop_reason") | {
    "status": lambda run: str(run.status),
    "only_step": lambda run: run.only_step or None,
}
"""The columns of a run that decisions may change, each with its value. It follows from the field of the same name."""
_FIXED_COLUMNS = _same_named(*_FIXED_IN_RUN)


def run_row(run: Run) -> dict[str, Any]:
    """Return the columns of a run that decisions may change."""
    return {name: value_of(run) for name, value_of in _RUN_COLUMNS.items()}


def new_run_row(run: Run, fixed: Row) -> dict[str, Any]:
    """Return all columns of a new run. ``fixed``: the columns that are not in the core's ``Run``."""
    return {**run_row(run), **{name: value_of(run) for name, value_of in _FIXED_COLUMNS.items()}, **fixed}


def _of_attempt(name: str) -> Callable[[Node], Any]:
    value_of = attrgetter(name)
    return lambda node: None if node.attempt is None else value_of(node.attempt)


_ATTEMPT_COLUMNS: Mapping[str, Callable[[Node], Any]] = {
    "token": _of_attempt("token"),
    "token_state": lambda node: str(node.attempt.state) if node.attempt else None,
    "token_worker": _of_attempt("worker_id"),
    "token_incarnation": _of_attempt("incarnation"),
    "dispatched_at": _of_attempt("dispatched_at"),
}
_NODE_COLUMNS: Mapping[str, Callable[[Node], Any]] = {
    **_same_named("idx", "kind", "name", "number", "retry_count", "done_count", "exit_code", "error", "stdout"),
    **_same_named("stderr", "output_matched", "call_token", "admission", "started_at", "finished_at", "retry_at"),
    "status": lambda node: str(node.status),
    "outputs": lambda node: dict(node.outputs),
    "unmet": lambda node: list(node.unmet) or None,
    "children": lambda node: _children_json(node.children),
    "child_states": lambda node: node.children.states or None,
    "approval": lambda node: _approval_json(node.approval) if node.approval else None,
    **_ATTEMPT_COLUMNS,
}
"""The columns of a node, each with its value. Those of its attempt and of its children follow from those, others from
their field."""
_NODE_FIELDS = (*(name for name in _NODE_COLUMNS if name not in {*_ATTEMPT_COLUMNS, "child_states"}), "attempt")


def node_row(run_key: str, node: Node) -> dict[str, Any]:
    """Return a node's row."""
    return {"run_key": run_key, **{name: value_of(node) for name, value_of in _NODE_COLUMNS.items()}}


FRESH_STEP: Row = {
    name: value for name, value in node_row("", Node(0, STEP, "")).items() if name not in {"run_key", "idx", "name"}
}
"""The columns that all steps have in common that have not begun."""


def run_changes(changes: Sequence[tuple[Run, Run]]) -> list[dict[str, Any]]:
    """Return the row of each ``(old run, new run)``: its key, its version, and the columns that differ in any of them.

    All have the same columns, so that one statement can write them.
    """
    names = {"run_key", "version"}.union(*(_changed_fields(old, new, _RUN_COLUMNS) for old, new in changes))
    columns = [(name, value_of) for name, value_of in _RUN_COLUMNS.items() if name in names]
    return [{name: value_of(new) for name, value_of in columns} for _, new in changes]


def node_changes(changes: Iterable[tuple[str, Node, Node]], *, states_apart: bool) -> list[dict[str, Any]]:
    """Return the rows of the nodes that differ, of ``(run key, old node, new node)``; see ``run_changes``.

    ``states_apart``: the states of sub-runs are in a column of their own, else among the calls.
    """
    found = [(key, new, fields) for key, old, new in changes if (fields := _changed_in_node(old, new, states_apart))]
    names = {"idx"}.union(*(fields for _, _, fields in found))
    if "attempt" in names:
        names |= _ATTEMPT_COLUMNS.keys()
    columns = [(name, value_of) for name, value_of in _NODE_COLUMNS.items() if name in names]
    changed = [{"run_key": key, **{name: value_of(new) for name, value_of in columns}} for key, new, _ in found]
    if "child_states" in names and not states_apart:
        for row in changed:
            row["child_states"] = None
    return changed


def _changed_in_node(old: Node, new: Node, states_apart: bool) -> list[str]:
    fields = _changed_fields(old, new, _NODE_FIELDS)
    if "children" in fields:
        fields.append("child_states")
        if states_apart and new.children.differ_in_states_only(old.children):
            fields.remove("children")
    return fields


def _changed_fields(old: Run | Node, new: Run | Node, names: Iterable[str]) -> list[str]:
    # Most fields are the very same object, which is cheaper to see than that two are equal.
    was, now = vars(old), vars(new)
    return [name for name in names if now[name] is not was[name] and now[name] != was[name]]


def plan_key(run_row: Row) -> tuple[str, str]:
    """Return the key of a run's plan in ``Plans``: its origin, with an empty name if it came from no file."""
    return run_row["spec_hash"], run_row["file_name"] or ""


def transition_row(run_key: str, transition: Transition, now: datetime) -> dict[str, Any]:
    """Return a transition's row."""
    return {
        "run_key": run_key,
        "seq": transition.seq,
        "at": now,
        "node": transition.node,
        "was": transition.was,
        "became": transition.became,
        "why": transition.why,
        "by": transition.by,
    }


def attempt_row(run_key: str, closed: ClosedAttempt, now: datetime) -> dict[str, Any]:
    """Return the row of a closed attempt."""
    return {
        "token": closed.token,
        "run_key": run_key,
        "node": closed.node,
        "run_attempt": closed.run_attempt,
        "number": closed.number,
        "state": str(closed.state),
        "outcome": closed.outcome,
        "worker_id": closed.worker_id,
        "incarnation": closed.incarnation,
        "exit_code": closed.exit_code,
        "error": closed.error,
        "dispatched_at": closed.dispatched_at,
        "started_at": closed.started_at,
        "finished_at": now,
        "begun": str(closed.begun),
        "stdout_bytes": None if closed.log_bytes is None else closed.log_bytes.get("stdout", 0),
        "stderr_bytes": None if closed.log_bytes is None else closed.log_bytes.get("stderr", 0),
    }


def execution_row(run_key: str, execution: Execution) -> dict[str, Any]:
    """Return the row of an execution."""
    return {
        "run_key": run_key,
        "token": execution.token,
        "worker_id": execution.worker_id,
        "incarnation": execution.incarnation,
        "node": execution.node,
        "at": execution.at,
        "accepted": execution.accepted,
        "begun": execution.begun,
        "why": execution.why,
    }


def chunk_row(chunk: LogChunk) -> dict[str, Any]:
    """Return a log chunk's row. ``lines`` counts its newlines, so that lines are found without reading the bytes."""
    return {
        "token": chunk.token,
        "stream": chunk.stream,
        "seq": chunk.seq,
        "run_key": chunk.run_key,
        "node": chunk.node,
        "run_attempt": chunk.run_attempt,
        "number": chunk.number,
        "offset": chunk.offset,
        "lines": chunk.data.count(b"\n"),
        "data": chunk.data,
        "at": chunk.at,
        "dropped": 0,
    }


def added_log_row(run_key: str, added: AddLog, now: datetime) -> dict[str, Any]:
    """Return the log chunk's row of a line that the scheduler adds to a node's output."""
    return chunk_row(
        LogChunk(
            token=added.token,
            run_key=run_key,
            node=added.node,
            run_attempt=added.run_attempt,
            number=added.number,
            stream="stdout",
            seq=0,
            offset=0,
            data=added.text.encode(),
            at=now,
        )
    )


def broker_queue_row(broker_queue: BrokerQueue) -> list[Any]:
    """Return a broker queue as the JSON array that the outbox stores."""
    return [broker_queue.name, str(broker_queue.durability), broker_queue.expires_s]


def broker_queue_of_row(row: Sequence[Any]) -> BrokerQueue:
    """Return the broker queue that ``broker_queue_row`` wrote."""
    name, durability, expires_s = row
    return BrokerQueue(name, Durability(durability), expires_s)
