"""Whose turn it is, where one of all schedulers does the work: that of the live one with the smallest id.

Two schedulers may think for a moment that it is theirs, so the work must bear that.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.store.writes.transaction import Transaction

__all__ = ["Turn"]


class Turn:
    """``lease_s``: the lease of the schedulers. One that was not heard of for two leases does not count as live."""

    def __init__(self, clock: Callable[[], datetime], instance_id: str, lease_s: float) -> None:
        self._clock, self._instance_id = clock, instance_id
        self._two_leases = timedelta(seconds=2 * lease_s)

    def is_mine(self, tx: Transaction) -> bool:
        """Return whether this scheduler is to do the work now."""
        return tx.services.first_scheduler(self._clock() - self._two_leases) == self._instance_id
