"""What a batch of decisions changes in pools: which nodes ask for places, and which give them back."""

from datetime import datetime
from typing import Any

from services.scheduler.core.decision import Acquire, Release
from services.scheduler.core.model import Run
from shared.admission.pools import entry_order
from shared.store.writes.transaction import Transaction

__all__ = ["PoolChanges"]


class PoolChanges:
    """Collected while a batch decides, written at its flush."""

    def __init__(self) -> None:
        self._leave: set[tuple[str, int]] = set()
        self._ask: dict[tuple[str, int], list[dict[str, Any]]] = {}

    def note(self, run: Run, effect: Acquire | Release, now: datetime) -> None:
        """Add an effect that ``run`` decided at ``now``; the last one of each node counts."""
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
        """Write the changes; the runs ``deleted`` are deleted in this transaction."""
        if not self._leave and not self._ask:
            return
        rows = tx.pools
        rows.leave(sorted(self._leave))
        rows.ask([row for (key, _), asked in sorted(self._ask.items()) if key not in deleted for row in asked])
