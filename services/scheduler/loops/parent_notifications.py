"""Parents learn what became of their children: right after the child's commit, or by a look.

The look finds parents where a crash came between the two transactions.
"""

import logging
import threading
from collections.abc import Iterable

from services.scheduler.deciding.family import update_parents
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.transactor import Transactor
from shared.errors import StoreUnavailable
from shared.faults import point

__all__ = ["ParentNotifier"]

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 10.0
_AT_ONCE = 50


class ParentNotifier:
    """Attends to parents."""

    def __init__(self, transactor: Transactor) -> None:
        self._transactor = transactor

    def follow(self, after: PostCommit) -> None:
        """Attend to the parents of runs that a transaction changed."""
        if after.families:
            point("family.before_attend")
            self.notify(after.families)

    def notify(self, parent_keys: Iterable[str]) -> None:
        """Tell runs about their children; what cannot be told now is told by the next look."""
        keys = set(parent_keys)
        try:
            self._transactor.decide(lambda batch: update_parents(batch, keys))
        except StoreUnavailable as error:
            _log.warning("family.waits", extra={"error": str(error)})

    def run(self, stop: threading.Event) -> None:
        """Look for parents that missed the end of a child; the body of a background thread."""
        while not stop.wait(_LOOK_EVERY_S):
            try:
                with self._transactor.store.begin() as tx:
                    keys = tx.children.parents_waiting()
                for start in range(0, len(keys), _AT_ONCE):
                    self.notify(keys[start : start + _AT_ONCE])
            except StoreUnavailable as error:
                _log.warning("family.waits", extra={"error": str(error)})
