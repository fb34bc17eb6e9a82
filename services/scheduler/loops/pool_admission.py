"""Admission to pools, locks and rate limits: starts steps when each of their pools has a place for them.

It uses one transaction that holds one advisory lock in the database (the gate), so that no limit is exceeded even if
several schedulers admit steps at the same time. Commits of this process wake it and, for rate limits, a timer of the
first waiting step. A look at all pools at the start, and every 20 s however busy it is, admits the steps that other
schedulers did not, for instance because they died.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.core.decision import Advanced, WakeAt
from services.scheduler.core.messages import Admit
from services.scheduler.core.model import WAITS
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.regular_look import RegularLook
from shared.admission.pools import POOL, RATE, Claim, PoolKey, PoolState, may_enter
from shared.errors import StoreUnavailable
from shared.ids import new_run_id
from shared.status import TimerKind

__all__ = ["PoolAdmission"]

_AT_ONCE = 100
"""How many steps one transaction admits. If there are more, another transaction follows immediately."""
_LOOK_AT = 1000
"""The most waiting steps of a pool that are read in one pass."""

Who = tuple[str, int]


class PoolAdmission:
    """Admits steps to the pools that it is notified of. ``steady`` is a clock in seconds."""

    def __init__(self, transactor: Transactor, steady: Callable[[], float] = time.monotonic) -> None:
        self._transactor = transactor
        self._look = RegularLook[PoolKey](steady)
        self._condition = threading.Condition()
        self._pools: set[PoolKey] = set()

    def follow(self, after: PostCommit) -> None:
        if after.pools:
            self.notify(after.pools)

    def notify(self, pools: Iterable[PoolKey]) -> None:
        """Note that a step waits for one of these pools, or that a place became free, or that a capacity changed."""
        with self._condition:
            self._pools.update(pools)
            self._condition.notify_all()

    def want_look(self) -> None:
        """Let the next regular look find steps that wait for some pool."""
        with self._condition:
            self._look.want()
            self._condition.notify_all()

    def wake(self) -> None:
        """End a wait of ``run``, which then checks whether to stop."""
        with self._condition:
            self._condition.notify_all()

    def admit(self, pools: Iterable[PoolKey]) -> int:
        """Admit as many steps as these pools have places for; return how many."""
        keys = sorted(set(pools))
        return self._transactor.decide(lambda batch: _Pass(batch).admit(keys))

    def run(self, stop: threading.Event) -> None:
        """Admit until ``stop``; the body of a background thread."""
        while not stop.is_set():
            pools: set[PoolKey] = set()
            try:
                pools = self._next(stop)
                while pools and self.admit(pools) >= _AT_ONCE:
                    pass
            except StoreUnavailable:
                self.notify(pools)
                stop.wait(1)

    def _next(self, stop: threading.Event) -> set[PoolKey]:
        with self._condition:
            while not self._pools and not stop.is_set() and not self._look.due:
                self._condition.wait(self._look.due_in_s)
            pools, self._pools = self._pools, set()
        if stop.is_set() or not self._look.due:
            return pools
        try:
            with self._transactor.store.begin() as tx:
                return pools.union(self._look.next(lambda: [PoolKey(*key) for key in tx.pools.awaited()]))
        except StoreUnavailable:
            self.notify(pools)
            raise


class _Pass:
    """One pass over some pools, in one transaction. While it holds the gate, no other scheduler assigns places."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._rows = batch.tx.pools
        self._states: dict[PoolKey, PoolState] = {}
        self._free_at: dict[PoolKey, datetime | None] = {}

    def admit(self, keys: list[PoolKey]) -> int:
        self._rows.close_gate()
        first = self._read(keys)
        claims: dict[Who, list[Claim]] = {}
        for row in self._rows.waits_of(sorted(first)):
            claims.setdefault((row["run_key"], row["node"]), []).append(_claim(row))
        self._read(sorted({claim.key for mine in claims.values() for claim in mine} - self._states.keys()))
        entitled = sorted(who for who, mine in claims.items() if may_enter(who, mine, self._states))[:_AT_ONCE]
        reminded = self._first_to_wait(keys, set(entitled))
        self._batch.runs.load(key for key, _ in (*entitled, *reminded))
        for (key, node), free_at in reminded.items():
            run = self._batch.runs.get(key)
            if run is not None and run.nodes[node].admission == WAITS:
                self._batch.remind(key, WakeAt(node, TimerKind.POOL, free_at))
        return self._enter(entitled, claims)

    def _read(self, keys: list[PoolKey]) -> set[Who]:
        """Read the states of these pools; return the first waiting steps of each."""
        pools = [key.name for key in keys if key.kind == POOL]
        capacities = self._rows.capacities(pools) if pools else {}
        heads: set[Who] = set()
        for key in keys:
            configured = capacities.get(key.name) if key.kind == POOL else None
            capacity = Claim(key).capacity(configured)
            if key.kind == RATE:
                self._rows.expire(key, self._batch.now)
                # Only the steps that wait know its limit.
                capacity = next((_claim(row).limit for row in self._rows.line(key, 1)), 0)
            taken, self._free_at[key] = self._rows.taken(key)
            free = capacity - taken
            # One step more than there are free places: if the pool is a rate limit, that step gets a timer.
            rows = self._rows.line(key, min(max(free, 0) + 1, _LOOK_AT))
            waiting = [(row["run_key"], row["node"]) for row in rows]
            self._states[key] = PoolState(taken, configured, waiting)
            heads.update(waiting)
        return heads

    def _first_to_wait(self, keys: list[PoolKey], entitled: set[Who]) -> dict[Who, datetime]:
        """Return the first step that must wait for each full rate limit, and the time when it must ask again."""
        found: dict[Who, datetime] = {}
        for key in keys:
            free_at = self._free_at[key] if key.kind == RATE else None
            who = next((who for who in self._states[key].waiting if who not in entitled), None)
            if free_at is not None and who is not None:
                found[who] = min(free_at, found.get(who, free_at))
        return found

    def _enter(self, entitled: list[Who], claims: Mapping[Who, list[Claim]]) -> int:
        places: list[dict[str, Any]] = []
        entered = []
        for key, node in entitled:
            # The step's run may have been stopped since. Then that decision has ended the step's wait.
            if self._batch.runs.get(key) is None or not isinstance(self._batch.apply(key, Admit(node)), Advanced):
                continue
            entered.append((key, node))
            places += [self._place(key, node, claim) for claim in claims[key, node]]
        self._rows.enter(places, entered)
        return len(entered)

    def _place(self, run_key: str, node: int, claim: Claim) -> dict[str, Any]:
        now = self._batch.now
        return {
            "id": new_run_id(),
            "kind": claim.key.kind,
            "name": claim.key.name,
            "run_key": run_key,
            "node": node,
            "entered_at": now,
            "until_at": now + timedelta(seconds=claim.interval_s) if claim.key.kind == RATE else None,
        }


def _claim(row: Mapping[str, Any]) -> Claim:
    return Claim(PoolKey(row["kind"], row["name"]), row["limit"], row["interval_s"])
