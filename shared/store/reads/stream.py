"""Reads of all transitions as one ordered stream, and of the versions of DAGs.

A transition's place is ``(txid, pos)``: the number of the transaction that wrote it, and the position in that
transaction. The stream returns a transition only when all transactions with lower numbers have ended, so no transition
appears later at a place before one that was read already.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, select, tuple_

from shared.store import tables as t
from shared.store.functions import open_transactions_from
from shared.store.queries.runs import not_removed
from shared.store.reads.base import AnySelect, Reader

__all__ = ["ChangeRow", "DagVersionRow", "Place", "StreamReads"]

_x = t.transitions.c
_r = t.dag_runs.c
_v = t.dag_versions.c


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in the stream of all transitions."""

    txid: int
    pos: int


class ChangeRow(NamedTuple):
    """A transition with the names of its run and of its root run, which are the same for a root run."""

    place: Place
    run_key: str
    dag_name: str
    dag_run_id: str
    root_dag_name: str
    root_dag_run_id: str
    seq: int
    at: datetime
    node: int | None
    node_name: str | None
    was: str
    became: str
    why: str
    by: str


class DagVersionRow(NamedTuple):
    """One version of a DAG's text. ``spec`` is ``None`` in lists."""

    version: int
    spec_hash: str
    at: datetime
    by: str
    spec: str | None = None


class StreamReads(Reader):
    """Reads of the stream of transitions, and of the versions of DAGs."""

    def newest_place(self) -> Place:
        """Return the place of the newest transition of any run in the stream, or place (0, 0) if there is none."""
        query = select(_x.txid, _x.pos).where(_x.txid < open_transactions_from())
        with self._statement(of_server=True) as connection:
            row = connection.execute(query.order_by(_x.txid.desc(), _x.pos.desc()).limit(1)).first()
        return Place(row.txid, row.pos) if row else Place(0, 0)

    def changes(self, after: Place, *, limit: int) -> tuple[ChangeRow, ...]:
        """Return the next transitions of all runs after that place."""
        later = tuple_(_x.txid, _x.pos) > tuple_(after.txid, after.pos)
        query = _select_changes().where(later, self._ours(_r.dag_name))
        return self._changes(query.order_by(_x.txid, _x.pos, _x.run_key, _x.seq).limit(limit))

    def seen_to(self, after: Place) -> Place:
        """Return the newest place before which a reader that has read to ``after`` has nothing more to read.

        Otherwise each read for a quiet workspace would go over all later transitions of the others.
        """
        newest = self.newest_place()
        # In this order: what is committed in between has a later place.
        return newest if newest > after and not self.changes(after, limit=1) else after

    def changes_of(self, run_key: str, *, after_seq: int, limit: int) -> tuple[ChangeRow, ...]:
        """Return the next transitions of one run with ``seq`` above ``after_seq``."""
        query = _select_changes(settled=False).where(_x.run_key == run_key, _x.seq > after_seq)
        return self._changes(query.order_by(_x.seq).limit(limit))

    def _changes(self, query: AnySelect) -> tuple[ChangeRow, ...]:
        with self._statement() as connection:
            return tuple(
                ChangeRow(
                    Place(row.txid, row.pos),
                    row.run_key,
                    row.dag_name,
                    row.dag_run_id,
                    row.root_name or row.dag_name,
                    row.root_id or row.dag_run_id,
                    row.seq,
                    row.at,
                    row.node,
                    row.node_name,
                    row.was,
                    row.became,
                    row.why,
                    row.by,
                )
                for row in connection.execute(query)
            )

    def dag_versions(self, file_name: str) -> tuple[DagVersionRow, ...]:
        """Return the versions of a DAG, newest first, without texts."""
        query = select(_v.version, _v.spec_hash, _v.at, _v.by).where(_v.file_name == file_name)
        with self._statement() as connection:
            rows = connection.execute(query.order_by(_v.version.desc())).all()
        return tuple(DagVersionRow(row.version, row.spec_hash, row.at, row.by) for row in rows)

    def dag_version(self, file_name: str, version: int) -> DagVersionRow | None:
        """Return one version of a DAG with its text."""
        query = (
            select(_v.version, _v.spec_hash, _v.at, _v.by, t.specs.c.yaml)
            .join_from(t.dag_versions, t.specs)
            .where(_v.file_name == file_name, _v.version == version)
        )
        with self._statement() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else DagVersionRow(row.version, row.spec_hash, row.at, row.by, row.yaml)


def _select_changes(*, settled: bool = True) -> AnySelect:
    root = t.dag_runs.alias("root")
    joined = (
        t.transitions.join(t.dag_runs, _r.run_key == _x.run_key)
        .outerjoin(root, root.c.run_key == _r.root_key)
        .outerjoin(t.nodes, and_(t.nodes.c.run_key == _x.run_key, t.nodes.c.idx == _x.node))
    )
    query = select(
        t.transitions,
        _r.dag_name,
        _r.dag_run_id,
        root.c.dag_name.label("root_name"),
        root.c.dag_run_id.label("root_id"),
        t.nodes.c.name.label("node_name"),
    ).select_from(joined)
    query = query.where(not_removed(t.dag_runs, root))
    return query.where(_x.txid < open_transactions_from()) if settled else query
