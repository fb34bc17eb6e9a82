"""Rows of runs and nodes: which columns are read, in which order, and what becomes of them.

By position, not by name: a list has a thousand of them, and names cost three times as much.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, select

from shared.status import NodeStatus, RunStatus
from shared.store import tables as t
from shared.store.reads.base import AnyRow, AnySelect
from shared.store.reads.rows import NodeRow, RunName, RunRow

__all__ = [
    "NODE_COLUMNS",
    "ROOT_COLUMNS",
    "node_from_row",
    "root_from_row",
    "run_from_row",
    "run_with_nodes",
    "select_one_root",
    "select_one_run",
    "select_runs",
]

_r = t.dag_runs.c
_n = t.nodes.c
_root = t.dag_runs.alias("root")
_parent = t.dag_runs.alias("parent")
ROOT_COLUMNS = (
    _r.run_key,
    _r.version,
    _r.root_key,
    _r.dag_name,
    _r.dag_run_id,
    _r.file_name,
    _r.status,
    _r.run_attempt,
    _r.queue,
    _r.priority,
    _r.given,
    _r.params,
    _r.params_json,
    _r.worker_id,
    _r.stop_reason,
    _r.error,
    _r.spec_hash,
    _r.created_at,
    _r.queued_at,
    _r.started_at,
    _r.finished_at,
    _r.trace,
    _r.parent_params,
)
"""All that there is of a root; others have a root and a parent, two joins away."""
_RELATED = (_root.c.dag_name, _root.c.dag_run_id, _parent.c.dag_name, _parent.c.dag_run_id)
_RELATED_RUNS = t.dag_runs.outerjoin(_root, _root.c.run_key == _r.root_key).outerjoin(
    _parent, _parent.c.run_key == _r.parent_key
)
_NO_RELATED = (None,) * len(_RELATED)
_OWN, _ALL = len(ROOT_COLUMNS), len(ROOT_COLUMNS) + len(_RELATED)
NODE_COLUMNS = (
    _n.idx,
    _n.kind,
    _n.name,
    _n.status,
    _n.number,
    _n.retry_count,
    _n.done_count,
    _n.exit_code,
    _n.error,
    _n.stdout,
    _n.stderr,
    _n.outputs,
    _n.children,
    _n.started_at,
    _n.finished_at,
    _n.unmet,
    _n.approval,
)
_WITH_NODE = _OWN + len(NODE_COLUMNS) + 1
_NODE_STATUS = {status.value: status for status in NodeStatus}
_STATUS = {status.value: status for status in RunStatus}


def select_runs(*more: ColumnElement[Any]) -> AnySelect:
    """Return the query whose rows ``run_from_row`` takes, to be narrowed."""
    return select(*ROOT_COLUMNS, *_RELATED, *more).select_from(_RELATED_RUNS)


def run_from_row(row: AnyRow) -> RunRow:
    """Return the run, without nodes, of a row of ``select_runs``."""
    return _run(row, row[_OWN:_ALL])


def root_from_row(row: AnyRow) -> RunRow:
    """Return the run, without nodes, of a row of ``ROOT_COLUMNS``."""
    return _run(row, _NO_RELATED)


def run_with_nodes(rows: Sequence[AnyRow]) -> RunRow:
    """Return the run of the rows, at least one, of ``select_one_root`` or ``select_one_run``."""
    nodes = [node_from_row(row[0], row[_OWN:_WITH_NODE]) for row in rows if row[_OWN] is not None]
    return _run(rows[0], rows[0][_WITH_NODE:] or _NO_RELATED, tuple(nodes))


def _run(row: AnyRow, related: Sequence[Any], nodes: tuple[NodeRow, ...] | None = None) -> RunRow:
    (
        run_key,
        version,
        root_key,
        dag_name,
        dag_run_id,
        file_name,
        status,
        run_attempt,
        queue,
        priority,
        given,
        params,
        params_json,
        worker_id,
        stop_reason,
        error,
        spec_hash,
        created_at,
        queued_at,
        started_at,
        finished_at,
        trace,
        asked_as,
    ) = row[:_OWN]
    root_name, root_id, parent_name, parent_id = related
    return RunRow(
        run_key,
        version,
        root_key or run_key,
        dag_name,
        dag_run_id,
        file_name,
        RunName(dag_name, dag_run_id) if root_name is None else RunName(root_name, root_id),
        None if parent_name is None else RunName(parent_name, parent_id),
        _STATUS[status],
        run_attempt,
        queue,
        priority,
        given,
        tuple([(name, value) for name, value in params]) if params else (),
        params_json,
        worker_id,
        stop_reason,
        error,
        spec_hash,
        created_at,
        queued_at,
        started_at,
        finished_at,
        nodes,
        trace,
        asked_as or "",
    )


def node_from_row(run_key: str, row: Sequence[Any]) -> NodeRow:
    """Return the node of a row that holds ``NODE_COLUMNS``, and perhaps what it said."""
    (
        idx,
        kind,
        name,
        status,
        number,
        retry_count,
        done_count,
        exit_code,
        error,
        stdout,
        stderr,
        outputs,
        children,
        started_at,
        finished_at,
        unmet,
        approval,
        *said,
    ) = row
    return NodeRow(
        run_key,
        idx,
        kind,
        name,
        _NODE_STATUS[status],
        number,
        retry_count,
        done_count,
        exit_code,
        error,
        stdout,
        stderr,
        outputs,
        tuple([(child["dagRunId"], child["params"]) for child in children if "error" not in child]) if children else (),
        started_at,
        finished_at,
        unmet,
        approval,
        said[0] if said else None,
    )


def select_one_root() -> AnySelect:
    """Return the query of a root with its nodes, to be narrowed to one."""
    return _one(t.dag_runs).where(_r.root_key.is_(None))


def select_one_run() -> AnySelect:
    """Return the same of any run."""
    return _one(_RELATED_RUNS, *_RELATED)


def _one(of: FromClause, *related: ColumnElement[str]) -> AnySelect:
    """Return a row for each node: so one statement is enough."""
    said = and_(
        t.progress.c.run_key == _n.run_key,
        t.progress.c.node == _n.idx,
        t.progress.c.number == _n.number,
        t.progress.c.run_attempt == _r.run_attempt,
    )
    with_nodes = of.outerjoin(t.nodes, _n.run_key == _r.run_key).outerjoin(t.progress, said)
    columns = (*ROOT_COLUMNS, *NODE_COLUMNS, t.progress.c.said, *related)
    return select(*columns).select_from(with_nodes).order_by(_n.idx)
