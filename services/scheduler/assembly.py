"""What a scheduler consists of, without its threads: who decides, and who follows up in which order."""

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.admission import Admission
from services.scheduler.loops.control_messages import ControlBroadcaster
from services.scheduler.loops.firing import Firing
from services.scheduler.loops.housekeeping import Housekeeping
from services.scheduler.loops.parent_notifications import ParentNotifier
from services.scheduler.loops.pool_admission import PoolAdmission
from services.scheduler.loops.relay import Relay
from services.scheduler.loops.timers import Timers
from services.scheduler.metrics import count
from shared.store.writes.transaction import Store
from shared.transport.base import Transport

__all__ = ["Assembly"]


class Assembly:
    """A transactor and those who follow its commits. ``tz`` is the zone of schedules that name none."""

    def __init__(
        self, store: Store, transport: Transport, plans: Plans, clock: Callable[[], datetime], tz: ZoneInfo
    ) -> None:
        self.transactor = Transactor(store, plans, clock)
        self.relay = Relay(store, transport, clock, self.transactor.notice)
        self.timers = Timers(self.transactor)
        self.housekeeping = Housekeeping(store, clock)
        self.firing = Firing(self.transactor, tz)
        self.admission = Admission(self.transactor)
        self.pools = PoolAdmission(self.transactor)
        self.parents = ParentNotifier(self.transactor)
        control_messages = ControlBroadcaster(transport, clock)
        # First what somebody waits for. A family's news is a transaction of its own, with its own following.
        self.transactor.after_commit(
            self.relay.follow,
            control_messages.follow,
            self.timers.follow,
            self.housekeeping.follow,
            self.firing.follow,
            self.admission.follow,
            self.pools.follow,
            self.parents.follow,
            count,
            control_messages.trace,
        )
