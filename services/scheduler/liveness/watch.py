"""The parts of a scheduler that hear workers, and judge which of them are lost."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.deciding.transactor import Transactor
from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.heartbeat_records import HeartbeatRecords
from services.scheduler.liveness.leases import Leases
from services.scheduler.liveness.listening import HeartbeatListener
from services.scheduler.liveness.marks import Marks
from services.scheduler.loops.poll import Poll
from shared.service import Background
from shared.transport.base import Transport

__all__ = ["WorkerWatch"]

_PERIOD_OF_LEASE = 0.1
"""The time between two markers, in leases; at most 1 s."""
_GAP_OF_LEASE = 0.4
"""The longest gap between markers in which no time is lost, in leases.

Such a gap hides two heartbeats of a worker, or one of an idle worker: it is heard again before the lease has ended.
"""
_MOST_GAP_S = 5.0
"""Half the time after which the broker may drop heartbeats that nobody has received."""
_RECONNECT_S = 6
"""A worker's longest pause between two attempts to connect, plus the time to connect."""


class WorkerWatch:
    """Hears heartbeats and markers from its construction on.

    ``service``: the columns of this scheduler's row in the table ``services`` that stay as they are. ``lease_s``: how
    long a worker's lease lasts after a heartbeat.
    """

    def __init__(
        self, transport: Transport, transactor: Transactor, service: Mapping[str, Any], *, poll: Poll, lease_s: float
    ) -> None:
        clock, instance_id = transactor.clock, service["instance_id"]
        # After a new connection, workers may need longer than this process to connect again and be heard. They may be
        # silent for a lease anyway; what that takes beyond it is added.
        settle_s = max(0.0, lease_s / 4 + _RECONNECT_S - lease_s)
        hearing = Hearing(gap_s=min(lease_s * _GAP_OF_LEASE, _MOST_GAP_S), settle_s=settle_s)
        self._listener = HeartbeatListener(transport, clock, instance_id, hearing)
        self.marks = Marks(
            transport,
            clock,
            instance_id,
            listener=self._listener,
            hearing=hearing,
            started_at=service["started_at"],
            period_s=min(1.0, lease_s * _PERIOD_OF_LEASE),
            report_queues=transactor.memory.report_queues,
            urgent=lambda: (
                hearing.somebody_overdue(lease_s) or hearing.somebody_began(clock() - timedelta(seconds=2 * lease_s))
            ),
        )
        transactor.after_commit(self.marks.follow)
        self._records = HeartbeatRecords(transactor, self._listener, timedelta(seconds=lease_s))
        self._leases = Leases(
            transactor, transport, self._records, hearing, self.marks, poll=poll, lease_s=lease_s, service=service
        )

    @property
    def judged_at(self) -> datetime:
        """The time up to which this scheduler has judged whether workers are lost."""
        return self._leases.judged_at

    def listening(self, on_death: Callable[[], None]) -> Background:
        """Return the thread that consumes heartbeats."""
        return Background("scheduler-heartbeats", self._listener.run, on_death, self._listener.wake)

    def loops(self, on_death: Callable[[], None]) -> list[Background]:
        """Return the threads that record heartbeats, send markers and judge."""
        return [
            Background("scheduler-news", self._records.run, on_death, self._listener.news.set),
            Background("scheduler-marks", self.marks.run, on_death, self.marks.wake),
            Background("scheduler-leases", self._leases.run, on_death),
        ]
