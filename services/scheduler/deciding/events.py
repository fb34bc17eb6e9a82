"""Records reports of workers, and notices from the scheduler's own loops, as messages to the core."""

from collections.abc import Iterable, Sequence

from services.scheduler.core.decision import Halt
from services.scheduler.core.messages import AttemptLost, TaskUndelivered, TimerFired
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.progress import progress_row
from shared.contracts.events import AttemptFinished, AttemptProgress, AttemptStarted, Event

__all__ = ["Notice", "record_events", "record_notices"]

Notice = AttemptLost | TaskUndelivered | TimerFired


def record_events(batch: Batch, events: Sequence[Event]) -> None:
    """Apply reports in order of arrival; each run is loaded and saved once."""
    batch.runs.load(event.run_key for event in events)
    said = [
        progress_row(batch.runs.get(event.run_key), event, batch.now)
        for event in events
        if isinstance(event, AttemptProgress | AttemptFinished)
    ]
    # Stored before the decisions, because the task of the next chat step contains these messages.
    batch.tx.progress.keep([row for row in said if row is not None])
    for event in events:
        if isinstance(event, AttemptProgress):
            continue
        if isinstance(event, AttemptFinished):
            for chunk in event.logs:
                batch.add_log(chunk)
        if batch.runs.get(event.run_key) is not None:
            batch.apply(event.run_key, event)  # type: ignore[arg-type]
        elif isinstance(event, AttemptStarted):
            batch.halt(Halt(event.worker_id, event.token, revoked=True, reason="its run was deleted"))


def record_notices(batch: Batch, notices: Iterable[tuple[str, Notice]]) -> None:
    """Apply notices from the scheduler's own loops. Each is ``(run key, notice)``."""
    pending = list(notices)
    batch.runs.load(key for key, _ in pending)
    for key, notice in pending:
        if batch.runs.get(key) is not None:
            batch.apply(key, notice)
