"""Keeps the totals of ended runs up to date, from which gateways answer ``/metrics``."""

import logging
import threading

from shared.errors import StoreUnavailable
from shared.store.writes.transaction import Store

__all__ = ["TotalsKeeper"]

_log = logging.getLogger(__name__)

_EVERY_S = 60.0
"""A gateway that starts passes over the transitions of this time."""


class TotalsKeeper:
    """Runs in one thread of every scheduler; one of them at a time adds what has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self) -> None:
        """Add what changed since anybody's last call. Raises ``StoreUnavailable``."""
        with self._store.begin() as tx:
            tx.run_totals.keep()

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        while True:
            try:
                self.keep()
            except StoreUnavailable as error:
                _log.warning("run_totals.waits", extra={"error": str(error)})
            if stop.wait(_EVERY_S):
                return
