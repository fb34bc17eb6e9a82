"""Progress that steps report: stored for the API and for later chat steps; no decision depends on it."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.model import Run
from services.scheduler.core.plan import STEP
from shared.contracts.events import AttemptFinished, AttemptProgress, Event
from shared.store.writes.transaction import Transaction

__all__ = ["progress_row", "recall", "tells_progress"]

_LAST = 2**31 - 1
"""The ``seq`` of the report of an attempt's end: it counts as newer than all progress reports of the attempt."""


def tells_progress(event: Event) -> bool:
    """Return whether an event brings progress to store."""
    return bool(_words(event))


def _words(event: Event) -> set[str]:
    # Most reports have no such field, which is slow to find out from a model of pydantic.
    if not isinstance(event, AttemptProgress | AttemptFinished):
        return set()
    return {name for name in ("progress", "remarks", "messages") if getattr(event, name, None)}


def progress_row(run: Run | None, event: AttemptProgress | AttemptFinished, now: datetime) -> dict[str, Any] | None:
    """Return the progress in ``event`` as a row, or ``None`` if it has no progress or its attempt is not open."""
    words = _words(event)
    if run is None or not words or event.node >= len(run.nodes):
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
        "said": event.model_dump(mode="json", include=words),
        "at": now,
    }


def recall(tx: Transaction, run: Run, dispatch: Dispatch) -> Dispatch:
    """Add the messages of earlier chat steps, oldest first, to the task of a chat step.

    Other tasks are returned unchanged.
    """
    task = dispatch.task
    if task.step.type != "chat" or task.kind != STEP:
        return dispatch
    steps = run.plan.dag.steps
    before = [idx for idx in reversed(run.plan.ancestors(task.node)) if steps[idx].type == "chat"]
    history = tx.progress.conversation(run.run_key, before) if before else []
    if not history:
        return dispatch
    return replace(dispatch, task=task.model_copy(update={"options": {**task.options, "history": history}}))
