"""Decisions made durable: one transaction per batch, then what follows from it.

The order is the promise: commit, then publish what the outbox owes, tell workers, answer the asker,
and only then ack. A crash anywhere leaves either nothing, or a committed row that the sweep finds.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from threading import Event as StopEvent
from typing import TypeVar
from zoneinfo import ZoneInfo

from services.scheduler.admission import Admission
from services.scheduler.batch import Aftermath, Batch
from services.scheduler.core.decision import Halt
from services.scheduler.events import Notice, record_notices
from services.scheduler.family import attend
from services.scheduler.firing import Firing
from services.scheduler.housekeeping import Housekeeping
from services.scheduler.metrics import count
from services.scheduler.plans import Plans
from services.scheduler.pool_admission import PoolAdmission
from services.scheduler.relay import Relay
from services.scheduler.timers import Alarm
from services.scheduler.traces import publish
from shared.contracts.codec import encode
from shared.contracts.control import CHANGES, RouteOpened, RunsChanged, StopAttempt
from shared.errors import AlreadyExists, StaleVersion, StoreUnavailable
from shared.faults import point
from shared.ids import new_run_id
from shared.service import backoff_s
from shared.store.tx import Store
from shared.transport.base import Transport

__all__ = ["Shell"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
_TRIES = 5
_MOST_NAMED = 100
"""Runs in one ``RunsChanged``."""


class Shell:
    """Everything a scheduler's threads share. ``clock`` gives the moment each decision is made at."""

    def __init__(
        self, store: Store, transport: Transport, plans: Plans, clock: Callable[[], datetime], tz: ZoneInfo
    ) -> None:
        self.store = store
        self.transport = transport
        self.plans = plans
        self.clock = clock
        self.alarm = Alarm()
        self.relay = Relay(store, transport, clock, self.notice)
        self.admission = Admission(self)
        self.pools = PoolAdmission(self)
        self.firing = Firing(self, tz)
        self.housekeeping = Housekeeping(store, clock)

    def decide(self, work: Callable[[Batch], T]) -> T:
        """Run ``work`` in one transaction, then do what follows; a run changed meanwhile means again.

        Raises:
            StoreUnavailable: the database is away; nothing happened.
        """
        for attempt in range(_TRIES):
            try:
                with self.store.begin() as tx:
                    batch = Batch(tx, self.plans, self.clock())
                    result = work(batch)
                    batch.flush()
            except (StaleVersion, AlreadyExists):
                if attempt == _TRIES - 1:
                    raise
                continue
            self._follow_up(batch.after)
            return result
        raise AssertionError("unreachable")

    def insist(self, work: Callable[[Batch], T], stop: StopEvent) -> T | None:
        """As ``decide``, holding on while the database is away; ``None``: told to stop meanwhile."""
        tries = 0
        while True:
            try:
                return self.decide(work)
            except StoreUnavailable as error:
                if tries == 0:
                    _log.warning("store.unavailable", extra={"error": str(error)})
                tries += 1
                if stop.wait(backoff_s(tries, cap_s=2)):
                    return None

    def notice(self, notices: Iterable[tuple[str, Notice]]) -> None:
        """Apply what a loop noticed about runs."""
        noticed = list(notices)
        if noticed:
            self.decide(lambda batch: record_notices(batch, noticed))

    def attend(self, parent_keys: Iterable[str]) -> None:
        """Tell runs about their children; what cannot be told now is told by the next look."""
        keys = set(parent_keys)
        try:
            self.decide(lambda batch: attend(batch, keys))
        except StoreUnavailable as error:
            _log.warning("family.waits", extra={"error": str(error)})

    def tell(self, halts: Sequence[Halt]) -> None:
        """Tell workers to end attempts; lost words are said again at their next heartbeat."""
        for halt in halts:
            message = StopAttempt(token=halt.token, revoked=halt.revoked, reason=halt.reason)
            self.transport.broadcast(f"worker.{halt.worker_id}", encode(message, id=new_run_id(), at=self.clock()))

    def _follow_up(self, after: Aftermath) -> None:
        point("scheduler.committed")
        self.relay.publish(after.outgoing)
        self.tell(after.halts)
        for selector in sorted(after.selectors):
            opened = encode(RouteOpened(selector=dict(selector)), id=new_run_id(), at=self.clock())
            self.transport.broadcast("workers", opened)
        if after.changed:
            named = sorted(after.changed) if len(after.changed) <= _MOST_NAMED else []
            self.transport.broadcast(CHANGES, encode(RunsChanged(run_keys=named), id=new_run_id(), at=self.clock()))
        if after.wake_at is not None:
            self.alarm.set(after.wake_at)
        self.housekeeping.started(after.started)
        if after.schedules:
            self.firing.wake()
        if after.queues:
            self.admission.notify(after.queues)
        if after.pools:
            self.pools.notify(after.pools)
        if after.families:
            point("family.before_attend")
            self.attend(after.families)
        count(after)
        publish(after.traced, self.transport.broadcast, after.at)
