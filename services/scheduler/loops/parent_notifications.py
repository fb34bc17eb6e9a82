"""Reports the statuses of sub-runs to their parent runs: after each commit, and periodically.

The commit that changes a sub-run and the update of its parent are two transactions. If a crash comes between them, the
periodic pass updates the parent.
"""

import logging
import threading
from collections.abc import Collection, Mapping

from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.sub_runs.family import update_parents
from services.scheduler.deciding.transactor import Transactor
from shared.errors import RowsLocked, StoreUnavailable
from shared.faults import point

__all__ = ["ParentNotifier"]

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0
_AT_ONCE = 50


class ParentNotifier:
    """Updates parent runs when the statuses of their sub-runs change."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor
        self._awake = threading.Event()
        self._thread = threading.local()
        """``waiting``: the families that a thread still has to look at, while it looks at some."""
        self._missed: set[str] = set()
        """Keys of parents that could not be updated: the next update looks at all sub-runs under way."""

    def wake(self) -> None:
        """Let ``run`` look for parents to update, or see that it is to stop."""
        self._awake.set()

    def follow(self, after: PostCommit) -> None:
        """Update the parents of sub-runs that a transaction changed."""
        if after.families:
            point("family.before_attend")
            self.notify(after.families)

    def notify(self, families: Mapping[str, Collection[str] | None]) -> None:
        """Update the parent runs of these families; see ``update_parents``.

        Locked runs, or all if the database is unavailable, wait for the next update or pass.

        The commit of an update may call this for other parents, or for the same one: it has started a sub-run that has
        ended at once. They are updated after it, one after the other, however many follow.
        """
        waiting: dict[str, Collection[str] | None] | None = getattr(self._thread, "waiting", None)
        if waiting is not None:
            for key, changed in families.items():
                before = waiting.get(key, ())
                waiting[key] = None if before is None or changed is None else {*before, *changed}
            return
        self._thread.waiting = waiting = dict(families)
        try:
            while waiting:
                some = dict(waiting)
                waiting.clear()
                self._update(some)
        finally:
            self._thread.waiting = None

    def _update(self, families: Mapping[str, Collection[str] | None]) -> None:
        missed = self._missed.intersection(families)
        self._missed.difference_update(missed)
        changed = {**families, **dict.fromkeys(missed)}
        try:
            try:
                self._transactor.decide(lambda batch: update_parents(batch, changed))
            except RowsLocked:
                locked = self._transactor.one_by_one(
                    changed, lambda batch, key: update_parents(batch, {key: changed[key]})
                )
                self._missed.update(locked)
        except StoreUnavailable as error:
            self._missed.update(changed)
            _log.warning("parent_notifications.waits", extra={"error": str(error)})

    def run(self, stop: threading.Event) -> None:
        """Update the parents that may have missed a change of a sub-run: when woken, at most every 10 s.

        The body of a background thread. Ends when ``stop`` is set.
        """
        while not stop.wait(_LOOK_EVERY_S):
            self._awake.wait()
            if stop.is_set():
                return
            self._awake.clear()
            try:
                self._missed.clear()
                with self._transactor.store.begin() as tx:
                    keys = tx.children.parents_waiting()
                for start in range(0, len(keys), _AT_ONCE):
                    self.notify(dict.fromkeys(keys[start : start + _AT_ONCE]))
            except StoreUnavailable as error:
                _log.warning("parent_notifications.waits", extra={"error": str(error)})
