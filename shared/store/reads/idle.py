"""Reads which running runs do nothing at present, because all that could go on in them waits."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BindParameter, and_, bindparam, case, func, or_, select

from shared.store import tables as t
from shared.store.queries.runs import QUEUED, RUNNING
from shared.store.reads.base import AnyRow, AnySelect, Reader

__all__ = ["IdleReads", "WaitingPlace"]

_r = t.dag_runs.c
_n = t.nodes.c
_MOST = 5000
"""How many waiting nodes and queued sub-runs one query returns: a run beyond them is not said to wait."""


class WaitingPlace(NamedTuple):
    """What an idle run waits at first: a node of it or of a sub-run, or, without ``node``, a queued sub-run.

    ``others`` counts the further nodes and queued sub-runs of its family that wait.
    """

    run_key: str
    node: int | None
    others: int


def _select_idle() -> AnySelect:
    busy = _n.token_state == "running"
    waits = or_(
        _n.admission == "waits",
        and_(_n.token_state == "dispatched", _n.dispatched_at < bindparam("sent_before")),
        _n.retry_at.is_not(None),
    )
    root = func.coalesce(_r.root_key, _r.run_key).label("root")
    keys: BindParameter[str] = bindparam("keys", expanding=True)
    return (
        select(root, _r.run_key, _n.idx, _n.token_state)
        .select_from(t.dag_runs.outerjoin(t.nodes, and_(_n.run_key == _r.run_key, or_(busy, waits))))
        .where(or_(_r.run_key.in_(keys), _r.root_key.in_(keys)))
        .where(or_(_r.status == QUEUED, and_(_r.status == RUNNING, _n.idx.is_not(None))))
        .order_by(case((busy, 0), (_n.idx.is_not(None), 1), else_=2), _r.created_at, _r.run_key, _n.idx)
        .limit(_MOST)
    )


# Built once: building a statement takes longer than the database takes to answer it.
_IDLE = _select_idle()


class IdleReads(Reader):
    """Reads of idle runs."""

    def idle_runs(self, root_keys: Iterable[str], sent_before: datetime) -> dict[str, WaitingPlace]:
        """Return, by key, those of the running root runs in whose family no attempt runs and something waits.

        A task that was sent at ``sent_before`` or later does not wait yet: its worker may be beginning it.
        """
        keys = sorted(set(root_keys))
        found: dict[str, list[AnyRow]] = {}
        with self._statement() as connection:
            for row in connection.execute(_IDLE, {"keys": keys, "sent_before": sent_before}) if keys else ():
                found.setdefault(row.root, []).append(row)
        return {
            key: WaitingPlace(rows[0].run_key, rows[0].idx, len(rows) - 1)
            for key, rows in found.items()
            if rows[0].token_state != "running"
        }
