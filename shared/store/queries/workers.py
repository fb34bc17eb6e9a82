"""Which workers take work."""

from datetime import datetime

from sqlalchemy import ColumnElement, and_

from shared.store import tables as t

__all__ = ["LIVE", "is_live", "takes_work"]

LIVE = "live"


def takes_work(now: datetime) -> ColumnElement[bool]:
    """Return the condition of a worker that takes work: it is live and its lease has not run out."""
    return and_(t.workers.c.state == LIVE, t.workers.c.lease_until > now)


def is_live(state: str, lease_until: datetime, now: datetime) -> bool:
    """Return whether a worker, read before, takes work; the same rule as ``takes_work``."""
    return state == LIVE and lease_until > now
