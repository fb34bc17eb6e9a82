"""Whether a worker may begin a task without asking.

A task that a scheduler sent once, that arrives soon, and that is addressed to this process is the only copy that any
worker begins without asking. A scheduler sends a task again only after ``FRESH_S + SKEW_S``, so it sends no second copy
while the first may still be begun.
"""

from datetime import datetime, timedelta

from shared.contracts.events import Doubt
from shared.contracts.tasks import FRESH_S, SKEW_S, Task

__all__ = ["doubt_about"]


def doubt_about(
    task: Task, *, redelivered: bool, kept: bool, incarnation: str, heard: bool, now: datetime
) -> Doubt | None:
    """Return why the worker must ask before it begins, or ``None`` if it may begin at once.

    ``kept``: the task waited here for a slot. ``heard``: the broker has confirmed a heartbeat of this worker lately.
    """
    if redelivered:
        return Doubt.REDELIVERED
    if task.dispatched_at is None:
        # The scheduler is of an older version and would not answer.
        return None
    if task.incarnation and task.incarnation != incarnation:
        return Doubt.OTHER_INCARNATION
    if not timedelta(seconds=-SKEW_S) <= now - task.dispatched_at <= timedelta(seconds=FRESH_S):
        return Doubt.OLD
    if kept:
        return Doubt.KEPT
    return None if heard else Doubt.UNHEARD
