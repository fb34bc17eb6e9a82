"""Changes of pools in a batch of decisions: which nodes ask for places, and which free their places."""

from datetime import datetime
from typing import Any

from services.scheduler.core.decision import Acquire, Release
from services.scheduler.core.model import Run
from shared.admission.pools import entry_order
from shared.store.writes.transaction import Transaction

__all__ = ["PoolChanges"]


class PoolChanges:
    """Collects the changes while a batch decides; the flush of the batch writes them."""

    def __init__(self) -> None:
        self._leave: set[tuple[str, int]] = set()
        self._ask: dict[tuple[str, int], list[dict[str, Any]]] = {}

    def note(self, run: Run, effect: Acquire | Release, now: datetime) -> None:
        """Add an effect that ``run`` decided at ``now``. A later effect of a node replaces an earlier one."""
        who = (run.run_key, effect.node)
        if isinstance(effect, Release):
            self._leave.add(who)
            self._ask.pop(who, None)
            return
        self._ask[who] = [
            {
                "run_key": run.run_key,
                "node": effect.node,
                "kind": claim.key.kind,
                "name": claim.key.name,
                "limit": claim.limit,
                "interval_s": claim.interval_s,
                "entry_order": entry_order(now, run.priority),
                "asked_at": now,
            }
            for claim in effect.claims
        ]

    def write(self, tx: Transaction, deleted: set[str]) -> None:
        """Write the changes. ``deleted``: the keys of runs that this transaction deletes; they ask for no places."""
        if not self._leave and not self._ask:
            return
        rows = tx.pools
        rows.leave(sorted(self._leave))
        rows.ask([row for (key, _), asked in sorted(self._ask.items()) if key not in deleted for row in asked])
