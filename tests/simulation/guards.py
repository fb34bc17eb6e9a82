"""Removes one guard of Dagway at a time, to show that the simulation finds what the guard prevents."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest.mock import patch

from services.scheduler.core.advance import advance
from services.scheduler.core.model import Run
from services.scheduler.deciding import batch as batching
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.flushing import PendingRows
from services.scheduler.deciding.loading import LoadedRuns
from services.scheduler.loops.hearing import Hearing
from services.scheduler.loops.marks import Marks
from services.worker.attempt import handler
from shared.clock import utc_now
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptStarted
from shared.store.writes.runs import RunWrites
from tests.simulation.imports import EPOCH
from tests.simulation.kernel import Kernel

__all__ = ["GUARDS", "without"]


def _without_token() -> list[AbstractContextManager[object]]:
    """A report counts for whatever attempt of its node is open."""

    def believing(run: Run, message: Any, *rest: Any) -> Any:
        if isinstance(message, AttemptStarted | AttemptFinished | AttemptGivenUp):
            attempt = run.nodes[message.node].attempt
            if attempt is not None and attempt.token != message.token:
                facts = {"token": attempt.token}
                if attempt.incarnation is not None and attempt.worker_id is not None:
                    facts |= {"worker_id": attempt.worker_id, "incarnation": attempt.incarnation}
                message = message.model_copy(update=facts)
        return advance(run, message, *rest)

    return [patch.object(batching, "advance", believing)]


def _without_outbox() -> list[AbstractContextManager[object]]:
    """Messages are sent after the commit, and stored nowhere."""
    flush = PendingRows.flush

    def forgetful(self: PendingRows, *args: Any, **facts: Any) -> None:
        self.outbox.clear()
        flush(self, *args, **facts)

    return [patch.object(PendingRows, "flush", forgetful)]


def _without_inbox() -> list[AbstractContextManager[object]]:
    """A command that comes again is carried out again."""
    prefetch, add_outcomes = LoadedRuns.prefetch, Batch.add_outcomes

    def unknowing(self: LoadedRuns, *args: Any) -> dict[str, Any]:
        prefetch(self, *args)
        return {}

    def first_only(self: Batch, outcomes: Any) -> None:
        new = list(outcomes)
        known = self.tx.commands.context([one["command_id"] for one in new], [], []).replies
        add_outcomes(self, [one for one in new if one["command_id"] not in known])

    return [patch.object(LoadedRuns, "prefetch", unknowing), patch.object(Batch, "add_outcomes", first_only)]


def _without_version() -> list[AbstractContextManager[object]]:
    """A run that a scheduler has in memory is saved, whatever others have changed since."""
    save = RunWrites.save

    def blind(self: RunWrites, rows: Any, loaded_versions: Any, *before: Any, unlocked: Any = ()) -> None:
        present = self.lock_versions(sorted(loaded_versions))
        save(self, rows, {**loaded_versions, **present}, *before, unlocked=unlocked)

    def trusting(self: LoadedRuns) -> None:
        self._unlocked = set()

    return [patch.object(RunWrites, "save", blind), patch.object(LoadedRuns, "lock_cached", trusting)]


def _without_grant() -> list[AbstractContextManager[object]]:
    """A worker begins every task at once."""
    return [patch.object(handler, "doubt_about", lambda *_args, **_facts: None)]


def _without_marker() -> list[AbstractContextManager[object]]:
    """A scheduler takes silence for the worker's, even if it could not hear."""

    def silence_s(self: Hearing, worker_id: str) -> float:
        kernel, heard = Kernel.active, self.worker(worker_id)
        if kernel is None or heard is None:
            return 0.0
        return EPOCH + kernel.now_s - heard.newest.at.timestamp()

    return [
        patch.object(Hearing, "_silence_s", silence_s),
        patch.object(Hearing, "until", property(lambda _self: utc_now(), lambda _self, _value: None), create=True),
        patch.object(Marks, "reports_until", lambda _self, _rows, now: now),
    ]


GUARDS: dict[str, Callable[[], list[AbstractContextManager[object]]]] = {
    "token": _without_token,
    "outbox": _without_outbox,
    "inbox": _without_inbox,
    "version": _without_version,
    "grant": _without_grant,
    "marker": _without_marker,
}


def without(guard: str) -> ExitStack:
    """Remove a guard while the returned context is open."""
    stack = ExitStack()
    for removal in GUARDS[guard]():
        stack.enter_context(removal)
    return stack
