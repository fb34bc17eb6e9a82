"""Conditions of workers that take work and of workers that are lost."""

from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, and_

from shared.store import tables as t

__all__ = ["DRAINING", "LIVE", "LOST", "believed_state", "lease_ended", "takes_work"]

LIVE, DRAINING, LOST = "live", "draining", "lost"


def takes_work(now: datetime) -> ColumnElement[bool]:
    """Return the condition of a worker that takes new runs: it is live, not drained, and its lease has not ended."""
    return and_(t.workers.c.state == LIVE, t.workers.c.drained_at.is_(None), t.workers.c.lease_until > now)


def lease_ended(now: "datetime | BindParameter[Any]") -> ColumnElement[bool]:
    """Return the condition of a worker whose lease ended but whose row does not say ``lost`` yet."""
    return and_(t.workers.c.state.in_([LIVE, DRAINING]), t.workers.c.lease_until < now)


def believed_state(state: str, lease_until: datetime, drained_at: datetime | None, now: datetime) -> str:
    """Return the state of a worker, whose heartbeats say ``state``.

    It is ``lost`` if the lease ended and no scheduler has marked the worker as lost yet, and ``draining`` if the worker
    is drained, even if its heartbeats do not say so yet.
    """
    if state in {LIVE, DRAINING} and lease_until <= now:
        return LOST
    return DRAINING if state == LIVE and drained_at is not None else state
