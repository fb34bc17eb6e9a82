"""Reports that wait up to 60 ms, to be recorded in the next transaction that decides about their run.

A step that ends soon after its start costs one transaction instead of two. The report stays unacknowledged at the
broker until it is recorded, so a crash loses nothing. Whoever decides about a run records its held reports first, so no
decision of this process misses one.
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.scheduler.core.model import Run
from services.scheduler.core.step_rules import ready
from shared.contracts.codec import Envelope
from shared.contracts.events import AttemptStarted
from shared.status import AttemptState, NodeStatus
from shared.transport.base import Delivery

__all__ = ["HELD_S", "HeldReport", "HeldReports", "may_wait"]

HELD_S = 0.06
"""The longest time that a report waits; users see that a step runs this much later."""
_MOST = 100
"""The most reports that wait. More are recorded at once: they fill a transaction, and the broker limits how many
unacknowledged messages a scheduler may have."""


def may_wait(run: Run, event: AttemptStarted) -> bool:
    """Return whether the report of a start may wait without delaying anything.

    ``run`` is as this process last committed it.
    """
    if event.node >= len(run.nodes):
        return False
    attempt = run.nodes[event.node].attempt
    if attempt is None or attempt.token != event.token or attempt.state is not AttemptState.DISPATCHED:
        return False
    if run.plan.dag.placement != "stick" or run.worker_id is not None:
        return True
    # The first start binds the run to its worker: other steps that are ready wait for it.
    nodes, plan = run.steps, run.plan
    return not any(
        node.status is NodeStatus.NOT_STARTED and node.attempt is None and ready(plan, nodes, node.idx)
        for node in nodes
    )


@dataclass(frozen=True, slots=True, eq=False)
class HeldReport:
    """A delivered report that is not recorded yet. ``since_s``: when it arrived, by the monotonic clock."""

    delivery: Delivery
    envelope: Envelope
    event: AttemptStarted

    @property
    def since_s(self) -> float:
        return self.delivery.arrived_s


class HeldReports:
    """The reports that wait, by run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[HeldReport]] = {}
        self._taken: set[HeldReport] = set()
        self._apart: list[HeldReport] = []

    def hold(self, report: HeldReport) -> bool:
        """Let a report wait; return ``False`` if too many wait already."""
        with self._lock:
            if len(self._taken) + len(self._apart) + sum(map(len, self._waiting.values())) >= _MOST:
                return False
            self._waiting.setdefault(report.event.run_key, []).append(report)
            return True

    def take(self, run_keys: Iterable[str]) -> list[HeldReport]:
        """Return the reports about these runs, in order. The caller passes each to ``recorded`` or ``give_back``."""
        if not self._waiting:
            return []
        with self._lock:
            found = [each for key in run_keys for each in self._waiting.pop(key, ())]
            self._taken.update(found)
            return found

    def recorded(self, reports: Sequence[HeldReport]) -> None:
        """Acknowledge reports that are committed."""
        for each in reports:
            each.delivery.ack()
        with self._lock:
            self._taken.difference_update(reports)

    def give_back(self, reports: Sequence[HeldReport], *, apart: bool = False) -> None:
        """Let reports wait again: the transaction that was to record them has failed.

        ``apart``: perhaps because of one of them. Then no other decision takes them, and ``release`` returns them next.
        """
        with self._lock:
            self._taken.difference_update(reports)
            if apart:
                self._apart += reports
                return
            for each in reversed(reports):
                self._waiting.setdefault(each.event.run_key, []).insert(0, each)

    def release(self, before_s: float) -> list[HeldReport]:
        """Return the reports that arrived before this time of the monotonic clock, oldest first, and forget them.

        If there is one, those that arrived shortly after it are returned too: they share its transaction.
        """
        if not self._waiting and not self._apart:
            return []
        with self._lock:
            if self._apart:
                apart, self._apart = self._apart, []
                return sorted(apart, key=lambda each: each.since_s)
            if min(held[0].since_s for held in self._waiting.values()) > before_s:
                return []
            keys = [key for key, held in self._waiting.items() if held[0].since_s <= before_s + HELD_S / 2]
            return sorted((each for key in keys for each in self._waiting.pop(key)), key=lambda each: each.since_s)

    @property
    def waiting_since_s(self) -> float:
        """When the oldest report arrived that ``release`` could return (monotonic clock); infinity if none waits."""
        with self._lock:
            if self._apart:
                return float("-inf")
            return min((held[0].since_s for held in self._waiting.values()), default=float("inf"))

    @property
    def oldest_s(self) -> float:
        """When the oldest report arrived that is not recorded, by the monotonic clock; infinity if there is none."""
        with self._lock:
            waiting = (held[0].since_s for held in self._waiting.values())
            others = (each.since_s for each in (*self._taken, *self._apart))
            return min([*waiting, *others], default=float("inf"))
