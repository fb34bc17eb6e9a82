"""Progress that steps report: stored for the API and for later chat steps; no decision depends on it."""

from datetime import datetime
from typing import Any

from services.scheduler.core.model import Run
from shared.contracts.events import AttemptFinished, AttemptProgress, Event

__all__ = ["progress_row", "tells_progress"]

_LAST = 2**31 - 1
"""The ``seq`` of the report of an attempt's end: it counts as newer than all progress reports of the attempt."""


def tells_progress(event: Event) -> bool:
    """Return whether an event brings progress to store."""
    return bool(_reported(event))


def _reported(event: Event) -> set[str]:
    """Return the names of the event's fields that have progress."""
    # Most reports have no such field, which is slow to find out from a model of pydantic.
    if not isinstance(event, AttemptProgress | AttemptFinished):
        return set()
    return {name for name in ("progress", "remarks", "messages") if getattr(event, name, None)}


def progress_row(run: Run | None, event: AttemptProgress | AttemptFinished, now: datetime) -> dict[str, Any] | None:
    """Return the progress in ``event`` as a row, or ``None`` if it has no progress or its attempt is not open."""
    fields = _reported(event)
    if run is None or not fields or event.node >= len(run.nodes):
        return None
    node = run.nodes[event.node]
    if node.attempt is None or node.attempt.token != event.token:
        return None
    return {
        "run_key": event.run_key,
        "node": event.node,
        "run_attempt": run.run_attempt,
        "number": node.number,
        "seq": event.seq if isinstance(event, AttemptProgress) else _LAST,
        "said": event.model_dump(mode="json", include=fields),
        "at": now,
    }
