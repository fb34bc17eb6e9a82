"""What may be forgotten is forgotten, now and then, by every scheduler."""

import logging
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.errors import StoreUnavailable

if TYPE_CHECKING:
    from services.scheduler.shell import Shell

__all__ = ["run_housekeeping", "tidy"]

_log = logging.getLogger(__name__)

_EVERY_S = 600
_REPLIES_KEPT = timedelta(days=7)
"""How long the same Idempotency-Key gets the same answer."""


def tidy(shell: "Shell") -> int:
    """Remove outcomes of commands that nobody will ask about again; return how many."""
    with shell.store.begin() as tx:
        return tx.forget_replies(shell.clock() - _REPLIES_KEPT)


def run_housekeeping(shell: "Shell", stop: threading.Event) -> None:
    """Tidy until ``stop``; the body of a background thread."""
    while not stop.wait(_EVERY_S):
        try:
            tidy(shell)
        except StoreUnavailable as error:
            _log.warning("housekeeping.waits", extra={"error": str(error)})
