"""Progress that steps report: stored for the API and for later chat steps; no decision depends on it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.model import Run
from services.scheduler.core.plan import STEP, Plan
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
    """Add what was said before to the task of a chat step. Other tasks are returned unchanged.

    A conversation goes on from a chat step to the chat steps that depend on it directly. Another kind of step between
    them ends it, and so does a chat step without an answer, as in Dagu.
    """
    task = dispatch.task
    if task.step.type != "chat" or task.kind != STEP:
        return dispatch
    steps = run.plan.dag.steps
    before = _before(run.plan, task.node, lambda node: steps[node].type == "chat")
    said = tx.progress.messages(run.run_key, before) if before else {}
    if not said:
        return dispatch
    spoken = [message for node in _before(run.plan, task.node, said.__contains__) for message in said[node]]
    parents = [message for node in run.plan.depends[task.node] for message in said.get(node, ())]
    system = [message for message in parents if message["role"] == "system"]
    history = [*system[:1], *(message for message in spoken if message["role"] != "system")]
    return replace(dispatch, task=task.model_copy(update={"options": {**task.options, "history": history}}))


def _before(plan: Plan, node: int, counts: Callable[[int], bool]) -> list[int]:
    """Return the steps before ``node`` that it depends on through steps that count only: each after those before it.

    Where several come next, the order is that of ``depends``. There can be 10,000 steps, so nothing is recursive.
    """
    found: list[int] = []
    seen = {node}
    path = [(node, iter(plan.depends[node]))]
    while path:
        current, parents = path[-1]
        parent = next((one for one in parents if one not in seen and counts(one)), None)
        if parent is None:
            path.pop()
            found.append(current)
        else:
            seen.add(parent)
            path.append((parent, iter(plan.depends[parent])))
    return found[:-1]
