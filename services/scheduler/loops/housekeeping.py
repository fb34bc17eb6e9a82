"""Deletes old data: periodically command outcomes, workers that are gone, unused specs and old runs of all DAGs.

The workflow language has a time for which each DAG keeps its runs (``histRetentionDays``). It ends when the DAG starts
again, so a DAG that is not used any more keeps its history, unless there is a limit for all runs. The start of a run
does not wait for the deletion.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from services.scheduler.deciding.post_commit import PostCommit
from shared.contracts.commands.accounts import CreateApiKey
from shared.contracts.commands.webhooks import CreateWebhook, RegenerateWebhook
from shared.contracts.signing import CLOCK_MARGIN, COMMAND_LIFETIME
from shared.errors import StoreUnavailable
from shared.store.writes.transaction import Store

__all__ = ["Housekeeping"]

_log = logging.getLogger(__name__)

_EVERY_S = 600
_REPLIES_KEPT = COMMAND_LIFETIME + CLOCK_MARGIN
"""How long outcomes of commands are kept: a repeated Idempotency-Key gets the same reply for at least a week.

While a replayed command would still be accepted, its outcome is kept, so the replay is recognised.
"""
_REPLIES_AT_ONCE = 1000
"""How many of them one transaction deletes: after days without a scheduler, or a restore, there may be millions."""
_MAKE_SECRETS = (CreateApiKey.type, CreateWebhook.type, RegenerateWebhook.type)
"""Commands that are never forgotten: a gateway derives their secret from the Idempotency-Key, so if that was used again
after the secret was revoked, the same secret would be valid again.
"""
_WORKERS_KEPT = timedelta(days=7)
"""How long a worker that is gone is listed as lost. Each pod of a cluster is a worker with a name of its own."""
_SPECS_EVERY_S = 3600
_SPECS_KEPT = _REPLIES_KEPT + timedelta(days=1)
"""How long the text of a spec is kept after the last run, DAG version and callable file with it.

Longer than schedulers remember that a text is stored (``Plans``), and longer than the outcomes of commands: by the
``histRetentionDays`` in stored texts ``dagway verify`` knows which runs may have been deleted since their command.
"""
_SPECS_AT_ONCE = 1000
"""How many specs one transaction marks."""
_AT_ONCE = 100
"""How many root runs or specs one transaction deletes. Transactions are short, so that others can write."""
_MOST_DAYS = 100_000
"""A longer ``histRetentionDays`` means for ever: the calendar has no days so long ago."""
_LOOK_AGAIN_S = 60
"""The shortest time between two prunings of the same DAG's history."""


class Housekeeping:
    """Runs in one thread of every scheduler. It is harmless if several schedulers prune at the same time.

    ``history_days``: for how many days ended runs of any DAG are kept at most; 0 sets no limit.
    """

    def __init__(self, store: Store, clock: Callable[[], datetime], *, history_days: int = 0) -> None:
        self._store = store
        self._clock = clock
        self._history_days = history_days
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._stop = threading.Event()
        self._left = threading.Event()
        """Removed runs may have rows left to delete, perhaps since before this process started."""
        self._left.set()
        self._started: dict[str, int] = {}
        self._looked: dict[str, float] = {}
        """When each DAG's history was pruned, if that is not longer ago than ``_LOOK_AGAIN_S``; oldest first."""

    def follow(self, after: PostCommit) -> None:
        if after.removed:
            self._left.set()
            self._awake.set()
        self.started(after.started)

    def started(self, dags: Mapping[str, int]) -> None:
        """Note that runs of these DAGs started.

        The values are their ``histRetentionDays``; a negative value, or a very large one, keeps runs forever.
        """
        now = time.monotonic()
        with self._lock:
            due = {
                name: days
                for name, days in dags.items()
                if 0 <= days <= _MOST_DAYS and now - self._looked.get(name, -_LOOK_AGAIN_S) >= _LOOK_AGAIN_S
            }
            self._started |= due
        if due:
            self._awake.set()

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        self._awake.set()

    def prune(self) -> int:
        """Delete the expired runs of the DAGs noted by ``started``; return how many.

        Raises:
            StoreUnavailable: the database is unavailable; the next call continues.
        """
        removed = 0
        while True:
            with self._lock:
                if not self._started:
                    return removed
                name, days = next(iter(self._started.items()))
            removed += self._prune(name, self._clock() - timedelta(days=days))
            with self._lock:
                self._started.pop(name, None)
                self._note_look(name, time.monotonic())

    def _note_look(self, name: str, now: float) -> None:
        self._looked.pop(name, None)
        self._looked[name] = now
        # DAGs come and go, and requests name new ones with each spec.
        while self._looked and now - self._looked[oldest := next(iter(self._looked))] >= _LOOK_AGAIN_S:
            del self._looked[oldest]

    def prune_all(self) -> int:
        """Delete the runs of all DAGs that are older than the limit; return how many. Raises ``StoreUnavailable``."""
        if not self._history_days:
            return 0
        return self._prune(None, self._clock() - timedelta(days=self._history_days))

    def _prune(self, dag_name: str | None, before: datetime) -> int:
        removed = 0
        while not self._stop.is_set():
            with self._store.begin() as tx:
                history = tx.history
                keys = history.expired(dag_name, before, _AT_ONCE)
                left = history.remove(keys)
            removed += len(keys)
            if left:
                self._left.set()
                self.remove_left()
            if not keys:
                break
        if removed:
            _log.info("history.pruned", extra={"dag": dag_name or "*", "runs": removed})
        return removed

    def remove_left(self) -> int:
        """Delete what is left of removed runs with many sub-runs, in short transactions; return how many runs."""
        removed, found = 0, int(self._left.is_set())
        self._left.clear()
        while found and not self._stop.is_set():
            with self._store.begin() as tx:
                found = tx.history.remove_more()
            removed += found
        return removed

    def tidy(self) -> int:
        """Delete outcomes of commands older than ``_REPLIES_KEPT``, but those in ``_MAKE_SECRETS``; return how many."""
        before = self._clock() - _REPLIES_KEPT
        removed = 0
        while not self._stop.is_set():
            with self._store.begin() as tx:
                found = tx.commands.forget_replies(before, keep=_MAKE_SECRETS, most=_REPLIES_AT_ONCE)
            removed += found
            if found < _REPLIES_AT_ONCE:
                break
        return removed

    def forget_workers(self) -> int:
        """Delete the workers that are gone for ``_WORKERS_KEPT``; return how many."""
        with self._store.begin() as tx:
            return tx.leases.forget_workers(self._clock() - _WORKERS_KEPT)

    def forget_specs(self) -> int:
        """Mark the spec texts that nothing refers to; delete those marked ``_SPECS_KEPT`` ago, and return how many."""
        now = self._clock()
        behind: str | None = ""
        while behind is not None:
            with self._store.begin() as tx:
                behind = tx.specs.mark_unused(behind, now, _SPECS_AT_ONCE)
        removed, found = 0, _AT_ONCE
        while found == _AT_ONCE:
            with self._store.begin() as tx:
                found = tx.specs.delete_unused(now - _SPECS_KEPT, _AT_ONCE)
            removed += found
        if removed:
            _log.info("specs.pruned", extra={"specs": removed})
        return removed

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        self._stop = stop
        next_tidy = next_specs = time.monotonic() + _EVERY_S
        while not stop.is_set():
            self._awake.wait(max(0.0, min(next_tidy, next_specs) - time.monotonic()))
            try:
                if self._awake.is_set():
                    self._awake.clear()
                    self.prune()
                    self.remove_left()
                if time.monotonic() >= next_tidy:
                    self.tidy()
                    self.forget_workers()
                    self.prune_all()
                    self._left.set()  # the scheduler that was deleting may have ended
                    self.remove_left()
                    next_tidy = time.monotonic() + _EVERY_S
                if time.monotonic() >= next_specs:
                    self.forget_specs()
                    next_specs = time.monotonic() + _SPECS_EVERY_S
            except StoreUnavailable as error:
                _log.warning("housekeeping.waits", extra={"error": str(error)})
                self._left.set()
                self._awake.set()
                stop.wait(1)
