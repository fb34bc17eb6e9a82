"""Polls for work that no commit of this scheduler announced to its loops, for instance that of one that died.

One statement polls for all loops, in the transaction of a pass over the leases. So an idle scheduler needs no other
transactions for it.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from services.scheduler.loops.admission import Admission
from services.scheduler.loops.audit_chain import AuditChain
from services.scheduler.loops.parent_notifications import ParentNotifier
from services.scheduler.loops.pool_admission import PoolAdmission
from services.scheduler.loops.relay import STALE_S, Relay
from services.scheduler.loops.timers import Timers
from shared.store.writes.transaction import Transaction

__all__ = ["Poll"]

_EVERY_S = 3.5
"""With passes over the leases every 3 s, every second one polls: every 6 s. With passes every 4 s, while no attempt is
open, each one polls."""


class Poll:
    """Wakes those loops for which something waits. ``steady`` is a clock in seconds."""

    def __init__(
        self,
        *,
        timers: Timers,
        relay: Relay,
        parents: ParentNotifier,
        audit_chain: AuditChain,
        admission: Admission,
        pools: PoolAdmission,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._timers, self._relay, self._parents, self._audit_chain = timers, relay, parents, audit_chain
        self._admission, self._pools = admission, pools
        self._steady = steady
        self._next_s = float("-inf")

    def run(self, tx: Transaction, now: datetime) -> None:
        """Poll, if the last time was at least 3.5 s ago."""
        if self._steady() < self._next_s:
            return
        found = tx.pending_work.find(now - timedelta(seconds=STALE_S))
        self._next_s = self._steady() + _EVERY_S
        if found.timer_due_at is not None:
            self._timers.note(found.timer_due_at)
        if found.outbox:
            self._relay.note_overdue()
        if found.parents:
            self._parents.wake()
        if found.audit:
            self._audit_chain.wake()
        if found.queues:
            self._admission.want_look()
        if found.pools:
            self._pools.want_look()
