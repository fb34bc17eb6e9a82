"""The parts of a scheduler that share a transactor, and the order of its post-commit actions."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.admission import Admission
from services.scheduler.loops.audit_chain import AuditChain
from services.scheduler.loops.control_messages import ControlBroadcaster
from services.scheduler.loops.ended_runs import EndBroadcaster
from services.scheduler.loops.firing import Firing
from services.scheduler.loops.housekeeping import Housekeeping
from services.scheduler.loops.parent_notifications import ParentNotifier
from services.scheduler.loops.poll import Poll
from services.scheduler.loops.pool_admission import PoolAdmission
from services.scheduler.loops.relay import Relay
from services.scheduler.loops.run_notices import RunNotices
from services.scheduler.loops.run_totals import TotalsKeeper
from services.scheduler.loops.spec_revalidation import SpecRevalidation
from services.scheduler.loops.timers import Timers
from services.scheduler.metrics import count
from shared.service import Background
from shared.store.writes.transaction import Store
from shared.transport.base import Transport

__all__ = ["Assembly"]


class Assembly:
    """A transactor, and the parts that share it or its store.

    ``tz`` is the time zone of schedules that set none. ``audit_days``: see ``AuditChain``. ``history_days``: see
    ``Housekeeping``.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        memory: SchedulerMemory,
        clock: Callable[[], datetime],
        tz: ZoneInfo,
        *,
        audit_days: int = 0,
        history_days: int = 0,
    ) -> None:
        self.transactor = Transactor(store, memory, clock)
        self.relay = Relay(store, transport, clock, self.transactor.notice)
        self.timers = Timers(self.transactor)
        self.housekeeping = Housekeeping(store, clock, history_days=history_days)
        self.audit_chain = AuditChain(store, keep_days=audit_days)
        self.firing = Firing(self.transactor, tz)
        self.admission = Admission(self.transactor)
        self.pools = PoolAdmission(self.transactor)
        self.parents = ParentNotifier(self.transactor)
        self.ended_runs = EndBroadcaster(transport, clock)
        self.notices = RunNotices(transport, clock)
        self.totals = TotalsKeeper(store)
        self.revalidation = SpecRevalidation(self.transactor)
        self.poll = Poll(
            timers=self.timers,
            relay=self.relay,
            parents=self.parents,
            audit_chain=self.audit_chain,
            admission=self.admission,
            pools=self.pools,
        )
        control_messages = ControlBroadcaster(transport, clock)
        # First the actions that workers and clients wait for. ``parents.follow`` runs another transaction, whose
        # commit calls all these followers again.
        self.transactor.after_commit(
            self.relay.follow,
            control_messages.follow,
            self.notices.follow,
            self.timers.follow,
            self.housekeeping.follow,
            self.ended_runs.follow,
            self.audit_chain.follow,
            self.firing.follow,
            self.admission.follow,
            self.pools.follow,
            self.parents.follow,
            count,
            control_messages.trace,
        )

    def loops(self, on_death: Callable[[], None]) -> list[Background]:
        """Return a thread for each part that works by itself, except for the relay, which is the last to stop."""
        return [
            Background("scheduler-notices", self.notices.run, on_death, self.notices.wake),
            Background("scheduler-admission", self.admission.run, on_death, self.admission.wake),
            Background("scheduler-pools", self.pools.run, on_death, self.pools.wake),
            Background("scheduler-housekeeping", self.housekeeping.run, on_death, self.housekeeping.wake),
            Background("scheduler-ended-runs", self.ended_runs.run, on_death),
            Background("scheduler-audit-chain", self.audit_chain.run, on_death, self.audit_chain.wake),
            Background("scheduler-firing", self.firing.run, on_death, self.firing.wake),
            Background("scheduler-timers", self.timers.run, on_death, self.timers.wake),
            Background("scheduler-parents", self.parents.run, on_death, self.parents.wake),
            Background("scheduler-totals", self.totals.run, on_death),
            Background("scheduler-revalidation", self.revalidation.run, on_death),
        ]
