"""Records reports of workers, and notices from the scheduler's own loops, as messages to the core."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from services.scheduler.core.messages import AttemptLost, BegunBeside, Requested, TaskUndelivered, TimerFired
from services.scheduler.core.starts import begun_otherwise, halt_of_deleted_run
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.progress import progress_row, tells_progress
from services.scheduler.deciding.rows import chunk_row
from shared.contracts.events import AttemptFinished, AttemptProgress, AttemptRequested, AttemptStarted, Doubt, Event
from shared.status import AttemptState, Begun

__all__ = ["Notice", "load_runs", "record_events", "record_notices", "tell_of_unrecorded"]

Notice = AttemptLost | TaskUndelivered | TimerFired


def load_runs(batch: Batch, events: Sequence[Event]) -> None:
    """Load the runs that these reports are about."""
    # Progress is written before the decisions, and a run is locked before anything of it is written.
    load = batch.runs.load if any(map(tells_progress, events)) else batch.runs.load_recent
    load(event.run_key for event in events)


def record_events(batch: Batch, events: Sequence[Event], recorded_until: Callable[[Batch], datetime]) -> None:
    """Apply reports in order of arrival; each run is loaded and saved once.

    ``recorded_until(batch)`` returns a time: all reports sent before it are recorded, or are earlier in this batch.
    """
    load_runs(batch, events)
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
        if batch.runs.get(event.run_key) is None:
            # Its log is not stored: nothing would ever delete it.
            if isinstance(event, AttemptStarted | AttemptRequested):
                batch.halt(halt_of_deleted_run(event, event.token))
            elif isinstance(event, AttemptFinished) and event.next_start is not None:
                batch.halt(halt_of_deleted_run(event, event.next_start.token))
            continue
        if isinstance(event, AttemptFinished):
            batch.pending.log_chunks += [chunk_row(chunk) for chunk in event.logs if chunk.run_key == event.run_key]
        if isinstance(event, AttemptRequested):
            batch.apply(event.run_key, Requested(event, _all_heard(batch, event, recorded_until)))
        else:
            batch.apply(event.run_key, event)  # type: ignore[arg-type]


def _all_heard(batch: Batch, event: AttemptRequested, recorded_until: Callable[[Batch], datetime]) -> bool:
    """Whether all reports sent before the worker first asked are recorded."""
    if event.doubt != Doubt.REDELIVERED:
        return False
    # The worker says for how long it has been asking, so the clocks of worker and scheduler need not agree.
    first_asked = batch.now - timedelta(seconds=event.waited_s)
    return recorded_until(batch) >= first_asked


def tell_of_unrecorded(batch: Batch) -> None:
    """Let the runs' histories tell of attempts that a worker began without the right to.

    A report of a start that arrives after the end of its attempt, or twice, looks the same, except that the worker is
    recorded as the holder already.
    """
    begun = [row for row in batch.pending.executions if row["begun"] and not row["accepted"]]
    if not begun:
        return
    batch.runs.lock_cached()
    known = batch.tx.executions.known({row["run_key"] for row in begun}, {row["token"] for row in begun})
    beside = set()
    for row in list(batch.pending.executions):
        holder = row["token"], row["worker_id"], row["incarnation"]
        if row["begun"] and not row["accepted"] and holder not in known:
            run = batch.runs.entry(row["run_key"]).run
            batch.after.begun_beside += begun_otherwise(run.nodes[row["node"]])
            batch.apply(row["run_key"], BegunBeside(row["node"], row["worker_id"], row["why"]))
            beside.add(row["token"])
        known.add(holder)
    batch.tx.executions.mark_begun(beside)
    for closed in batch.pending.attempts:
        if closed["token"] in beside and closed["state"] == AttemptState.WITHDRAWN:
            closed["begun"] = str(Begun.YES)


def record_notices(batch: Batch, notices: Iterable[tuple[str, Notice]]) -> None:
    """Apply notices from the scheduler's own loops. Each is ``(run key, notice)``."""
    pending = list(notices)
    batch.runs.load(key for key, _ in pending)
    for key, notice in pending:
        if batch.runs.get(key) is not None:
            batch.apply(key, notice)
