"""Builds the SELECTs of runs and nodes, and converts database rows to ``RunRow`` and ``NodeRow``.

The columns are selected in the order of the fields of these classes, because rows are read by position: a list has a
thousand rows, and access by name takes three times as long.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, case, func, literal_column, select

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
_COLUMN_OF = {"asked_as": "parent_params"}
"""Fields whose column has another name."""
_NOT_OF_RUNS = frozenset({"root", "parent", "nodes"})
_NOT_OF_NODES = frozenset({"run_key", "said"})
_RUN_FIELDS = [name for name in RunRow._fields if name not in _NOT_OF_RUNS]
_NODE_FIELDS = [name for name in NodeRow._fields if name not in _NOT_OF_NODES]
ROOT_COLUMNS = tuple(_r[_COLUMN_OF.get(name, name)] for name in _RUN_FIELDS)
"""The columns of a root run, in the order of ``RunRow``. For the root and parent of a sub-run, see ``_RELATED``."""
NODE_COLUMNS = tuple(_n[name] for name in _NODE_FIELDS)
"""The columns of a node, in the order of ``NodeRow``."""
_RELATED = (_root.c.dag_name, _root.c.dag_run_id, _parent.c.dag_name, _parent.c.dag_run_id)
_RELATED_RUNS = t.dag_runs.outerjoin(_root, _root.c.run_key == _r.root_key).outerjoin(
    _parent, _parent.c.run_key == _r.parent_key
)
_NO_RELATED = (None,) * len(_RELATED)
_OWN, _ALL = len(ROOT_COLUMNS), len(ROOT_COLUMNS) + len(_RELATED)
_WITH_NODE = _OWN + len(NODE_COLUMNS) + 1
_RUN_KEY, _ROOT_KEY, _DAG_NAME, _DAG_RUN_ID, _STATUS, _PARAMS, _ASKED_AS = (
    _RUN_FIELDS.index(name)
    for name in ("run_key", "root_key", "dag_name", "dag_run_id", "status", "params", "asked_as")
)
_NODE_STATUS, _CHILDREN = (_NODE_FIELDS.index(name) for name in ("status", "children"))
_NODE_STATUSES = {status.value: status for status in NodeStatus}
_RUN_STATUSES = {status.value: status for status in RunStatus}


def select_runs(*more: ColumnElement[Any]) -> AnySelect:
    """Return a SELECT of all runs, with the columns that ``run_from_row`` needs; the caller adds conditions."""
    return select(*ROOT_COLUMNS, *_RELATED, *more).select_from(_RELATED_RUNS)


def run_from_row(row: AnyRow) -> RunRow:
    """Convert a row of ``select_runs`` to a run without nodes."""
    return _run(row, row[_OWN:_ALL])


def root_from_row(row: Sequence[Any]) -> RunRow:
    """Convert a row of ``ROOT_COLUMNS`` to a root run without nodes."""
    return _run(row, _NO_RELATED)


def run_with_nodes(rows: Sequence[Sequence[Any]]) -> RunRow:
    """Convert the rows of ``select_one_root`` or ``select_one_run`` to a run with nodes; needs at least one row."""
    run_key = rows[0][_RUN_KEY]
    nodes = [node_from_row(run_key, row[_OWN:_WITH_NODE]) for row in rows if row[_OWN] is not None]
    return _run(rows[0], rows[0][_WITH_NODE:] or _NO_RELATED, tuple(nodes))


def _run(row: Sequence[Any], related: Sequence[Any], nodes: tuple[NodeRow, ...] | None = None) -> RunRow:
    values: list[Any] = list(row[:_OWN])
    name = RunName(values[_DAG_NAME], values[_DAG_RUN_ID])
    values[_ROOT_KEY] = values[_ROOT_KEY] or values[_RUN_KEY]
    values[_STATUS] = _RUN_STATUSES[values[_STATUS]]
    values[_PARAMS] = tuple([(key, value) for key, value in values[_PARAMS]]) if values[_PARAMS] else ()
    values[_ASKED_AS] = values[_ASKED_AS] or ""
    root_name, root_id, parent_name, parent_id = related
    root = name if root_name is None else RunName(root_name, root_id)
    parent = None if parent_name is None else RunName(parent_name, parent_id)
    values += (root, parent, nodes)
    return RunRow(*values)


def node_from_row(run_key: str, row: Sequence[Any]) -> NodeRow:
    """Convert a row of ``NODE_COLUMNS`` to a node. The row may have one more column, the node's progress."""
    values = list(row)
    values[_NODE_STATUS] = _NODE_STATUSES[values[_NODE_STATUS]]
    children = values[_CHILDREN]
    values[_CHILDREN] = (
        tuple([(child["dagRunId"], child["params"]) for child in children if "error" not in child]) if children else ()
    )
    return NodeRow(run_key, *values)


def select_one_root() -> AnySelect:
    """Return a SELECT of root runs with their nodes; the caller adds a condition that matches one run."""
    return _one(t.dag_runs).where(_r.root_key.is_(None))


def select_one_run() -> AnySelect:
    """Return a SELECT of all runs, also sub-runs, with their nodes; the caller adds a condition that matches one."""
    return _one(_RELATED_RUNS, *_RELATED)


def _one(of: FromClause, *related: ColumnElement[str]) -> AnySelect:
    """Return a SELECT with one row for each node, so that one statement reads a run and its nodes.

    Only the first row has the columns of the run: to send and convert them for each node takes longer than its own.
    """
    said = and_(
        t.progress.c.run_key == _n.run_key,
        t.progress.c.node == _n.idx,
        t.progress.c.number == _n.number,
        t.progress.c.run_attempt == _r.run_attempt,
    )
    with_nodes = of.outerjoin(t.nodes, _n.run_key == _r.run_key).outerjoin(t.progress, said)
    # Nodes are numbered from 0. A run without nodes is one row, without a number.
    is_first = func.coalesce(_n.idx, literal_column("0")) == literal_column("0")
    own, others = ([case((is_first, column)) for column in each] for each in (ROOT_COLUMNS, related))
    return select(*own, *NODE_COLUMNS, t.progress.c.said, *others).select_from(with_nodes).order_by(_n.idx)
