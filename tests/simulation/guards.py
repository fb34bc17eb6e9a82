"""Removes one guard of Dagway at a time, to show that the simulation finds what the guard prevents."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from services.scheduler.core import advance, starts
from services.scheduler.core.decision import Grant, Ignored
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Requested
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.flushing import PendingRows
from services.scheduler.deciding.loading import LoadedRuns
from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.marks import Marks
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.events import Event
from shared.store.writes.runs import RunWrites
from shared.transport.base import BrokerQueue
from tests.simulation.imports import EPOCH
from tests.simulation.kernel import Kernel

__all__ = ["GUARDS", "without"]


def _without_outbox(patch: pytest.MonkeyPatch) -> None:
    """Messages are sent after the commit, and stored nowhere."""
    flush = PendingRows.flush

    def forgetful(self: PendingRows, *args: Any, **facts: Any) -> None:
        self.outbox.clear()
        flush(self, *args, **facts)

    patch.setattr(PendingRows, "flush", forgetful)


def _without_inbox(patch: pytest.MonkeyPatch) -> None:
    """A command that comes again is carried out again."""
    prefetch, add_outcomes = LoadedRuns.prefetch, Batch.add_outcomes

    def unknowing(self: LoadedRuns, *args: Any) -> dict[str, Any]:
        prefetch(self, *args)
        return {}

    def first_only(self: Batch, outcomes: Any) -> None:
        new = list(outcomes)
        known = self.tx.commands.context([one["command_id"] for one in new], [], []).replies
        add_outcomes(self, [one for one in new if one["command_id"] not in known])

    patch.setattr(LoadedRuns, "prefetch", unknowing)
    patch.setattr(Batch, "add_outcomes", first_only)


def _without_marker(patch: pytest.MonkeyPatch) -> None:
    """A scheduler takes silence for the worker's, even if it could not hear."""

    def silence_s(self: Hearing, worker_id: str) -> float:
        kernel, heard = Kernel.active, self.worker(worker_id)
        if kernel is None or heard is None:
            return 0.0
        return EPOCH + kernel.now_s - heard.newest.at.timestamp()

    now = property(lambda _self: utc_now(), lambda _self, _value: None)
    patch.setattr(Hearing, "_silence_s", silence_s)
    patch.setattr(Hearing, "until", now, raising=False)
    patch.setattr(Marks, "recorded_until", lambda _self, _rows: utc_now())


def _without_token(patch: pytest.MonkeyPatch) -> None:
    """A report about an earlier attempt counts for the one that is open, as if its holder had sent it."""
    report = advance._report

    def credulous(draft: Draft, message: Any) -> Ignored | None:
        attempt = draft.nodes[message.node].attempt if message.node < len(draft.nodes) else None
        if attempt is not None and getattr(message, "token", attempt.token) != attempt.token:
            copied = {"token": attempt.token}
            if attempt.worker_id is not None and hasattr(message, "incarnation"):
                copied |= {"worker_id": attempt.worker_id, "incarnation": attempt.incarnation or ""}
            message = (
                message.model_copy(update=copied) if hasattr(message, "model_copy") else replace(message, **copied)
            )
        return report(draft, message)

    patch.setattr(advance, "_report", credulous)


def _without_version(patch: pytest.MonkeyPatch) -> None:
    """A scheduler decides on the run that it remembers, whatever another one has made of it since."""
    save = RunWrites.save

    def overwrite(self: RunWrites, rows: Any, loaded_versions: Any, *before: Any, **facts: Any) -> None:
        save(self, rows, {**loaded_versions, **self.lock_versions([row["run_key"] for row in rows])}, *before, **facts)

    patch.setattr(LoadedRuns, "lock_cached", lambda self: self._unlocked.clear())
    patch.setattr(RunWrites, "save", overwrite)


def _without_grant(patch: pytest.MonkeyPatch) -> None:
    """Whoever asks for an attempt may begin it, also beside another worker and after its end."""
    requested = starts.requested

    def generous(draft: Draft, message: Requested) -> Ignored | None:
        answer = requested(draft, replace(message, all_heard=True))
        if not isinstance(answer, Ignored):
            return answer
        event = message.event
        return Ignored("granted to all", (Grant(event.worker_id, event.incarnation, event.token),))

    patch.setattr(starts, "requested", generous)


def _without_confirm(patch: pytest.MonkeyPatch) -> None:
    """A worker begins the next step of a chain before the broker has stored its report."""

    def at_once(self: Reporter, event: Event, to: BrokerQueue) -> "Future[None]":
        sent = send(self, event, to)
        if getattr(event, "next_start", None) is None:
            return sent
        believed: Future[None] = Future()
        believed.set_result(None)
        return believed

    send = Reporter.send
    patch.setattr(Reporter, "send", at_once)


GUARDS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "outbox": _without_outbox,
    "inbox": _without_inbox,
    "marker": _without_marker,
    "token": _without_token,
    "version": _without_version,
    "grant": _without_grant,
    "confirm": _without_confirm,
}


@contextmanager
def without(guard: str) -> Iterator[None]:
    """Remove a guard while the context is open."""
    with pytest.MonkeyPatch.context() as patch:
        GUARDS[guard](patch)
        yield
