"""Composition of a scheduler: its threads, and the order in which they stop."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.commands.pools import apply_configured_pools
from services.scheduler.commands.queues import apply_configured_queues
from services.scheduler.deciding.dag_files import DagFiles
from services.scheduler.deciding.event_routes import EventRoutes
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.transactor import PROTOCOL
from services.scheduler.loops.dead_letters import DeadLetterLoop
from services.scheduler.loops.folder import Folder
from services.scheduler.loops.hearing import Hearing
from services.scheduler.loops.heartbeat_records import HeartbeatRecords
from services.scheduler.loops.intake import audit_intake, commands_intake, events_intake, logs_intake
from services.scheduler.loops.leases import Leases
from services.scheduler.loops.listening import HeartbeatListener
from services.scheduler.loops.marks import Marks
from services.scheduler.loops.run_totals import TotalsKeeper
from services.scheduler.loops.spec_revalidation import SpecRevalidation
from services.scheduler.loops.verifying import Verifying
from shared.errors import StoreUnavailable
from shared.ids import new_token
from shared.service import Background
from shared.settings.effective import ReportedSettings
from shared.store.writes.transaction import Store, Transaction
from shared.transport.base import AUDIT, COMMANDS, HEARTBEATS, LOGS, Transport, task_queue

if TYPE_CHECKING:
    from shared.store.checks.verify import CheckResult

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

_COMMANDS_AHEAD = 32
"""With so many AMQP messages of commands in hand, a scheduler does not keep up: others get what comes next."""
_EVENTS_AHEAD = 500
"""With fewer, another scheduler gets reports about a wide run, whose rows both then read and lock in turns (ADR 76)."""
_LOGS_AHEAD = 64
_AUDIT_AHEAD = 200
_ACKS_WAIT_S = 0.05
"""A redelivered message is recognised as already recorded, so acknowledgements may wait."""
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
_UTC = ZoneInfo("UTC")
_NONE: Mapping[str, int] = MappingProxyType({})


class Scheduler:
    """One scheduler replica. Any number of replicas may share a database and a broker; there is no leader.

    ``dags_dir`` is the DAG folder; ``dag_files``, if set, writes DAGs that are changed by commands there.
    ``base_config`` is the YAML text that the spec of every new run inherits. ``audit_days``: for how many days audit
    entries are kept; 0 keeps them for ever. ``history_days``: see ``Housekeeping``. ``verify`` checks the database; it
    is called every ``verify_every_s`` seconds, unless that is 0. ``on_death`` is called when one of the threads dies
    from a bug, so that the process can exit. ``event_shards``: see ``EventRoutes``. ``settings``: what administrators
    read about the settings of this process.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        *,
        clock: Callable[[], datetime],
        lease_s: float,
        version: str,
        dags_dir: Path | None,
        dag_files: DagFiles | None = None,
        on_death: Callable[[], None],
        base_config: str = "",
        tz: ZoneInfo = _UTC,
        queues: Mapping[str, int] = _NONE,
        pools: Mapping[str, int] = _NONE,
        audit_days: int = 0,
        history_days: int = 0,
        verify: "Callable[[], Sequence[CheckResult]] | None" = None,
        verify_every_s: float = 0,
        event_shards: int | None = None,
        settings: ReportedSettings | None = None,
    ) -> None:
        self.instance_id = f"{socket.gethostname()}-{new_token()[:8]}"
        routes = EventRoutes(self.instance_id, version, event_shards)
        transport.declare([COMMANDS, *routes.queues, LOGS, AUDIT, HEARTBEATS, task_queue({})])
        self._store, self._transport = store, transport
        plans = Plans(base_config, version, dags_dir and dags_dir.absolute())
        parts = Assembly(
            store, transport, plans, clock, tz, audit_days=audit_days, history_days=history_days, files=dag_files
        )
        transactor = parts.transactor
        transactor.routes = routes
        # Before this process can receive reports, the others must know of it; see ``report_marks``.
        with store.begin() as tx:
            started_at = clock()
            apply_configured_queues(tx, queues, started_at)
            apply_configured_pools(tx, pools, started_at)
            service = self._register(tx, version, settings, started_at)
            transactor.note_schedulers(tx.services.schedulers())
            transactor.rules.read(tx)
        hearing = _hearing(lease_s)
        listener = HeartbeatListener(transport, clock, self.instance_id, hearing)
        consume = partial(transport.consume, acks_wait_s=_ACKS_WAIT_S, priorities=routes.priorities)
        commands = commands_intake(transactor, consume([COMMANDS], prefetch=_COMMANDS_AHEAD))
        events = events_intake(
            transactor,
            consume(routes.queues, prefetch=_EVENTS_AHEAD),
            lambda batch: marks.recorded_until(batch.tx.services.schedulers(), batch.now),
        )
        logs = logs_intake(transactor, consume([LOGS], prefetch=_LOGS_AHEAD))
        audit = audit_intake(transactor, consume([AUDIT], prefetch=_AUDIT_AHEAD))
        marks = Marks(
            transport,
            clock,
            self.instance_id,
            listener=listener,
            hearing=hearing,
            recorded_through_s=lambda: events.recorded_through_s,
            catch_up=events.wake,
            started_at=started_at,
            period_s=min(1.0, lease_s * _PERIOD_OF_LEASE),
            routes=routes,
            urgent=lambda: (
                hearing.somebody_overdue(lease_s) or hearing.somebody_began(clock() - timedelta(seconds=2 * lease_s))
            ),
        )
        transactor.after_commit(marks.follow)
        self._clock = clock
        records = HeartbeatRecords(transactor, listener, timedelta(seconds=lease_s))
        self._leases = leases = Leases(
            transactor, transport, records, hearing, marks, poll=parts.poll, lease_s=lease_s, service=service
        )
        self.folder = Folder(transactor, dags_dir) if dags_dir is not None else None
        intakes = [
            Background("scheduler-commands", commands.run, on_death, commands.wake),
            Background("scheduler-events", events.run, on_death, events.wake),
            Background("scheduler-logs", logs.run, on_death, logs.wake),
            Background("scheduler-audit", audit.run, on_death, audit.wake),
            Background("scheduler-heartbeats", listener.run, on_death, listener.wake),
        ]
        loops = [
            *parts.loops(on_death),
            Background("scheduler-news", records.run, on_death, listener.news.set),
            Background("scheduler-marks", marks.run, on_death, marks.wake),
            Background("scheduler-leases", leases.run, on_death),
            Background("scheduler-totals", TotalsKeeper(store).run, on_death),
            Background("scheduler-judging", SpecRevalidation(transactor).run, on_death),
            Background(
                "scheduler-dead-letters",
                DeadLetterLoop(store, transport, clock, instance_id=self.instance_id, lease_s=lease_s).run,
                on_death,
            ),
        ]
        if verify is not None and verify_every_s:
            verifying = Verifying(
                store, verify, clock, instance_id=self.instance_id, lease_s=lease_s, every_s=verify_every_s
            )
            loops.append(Background("scheduler-verifying", verifying.run, on_death))
        if self.folder is not None:
            loops.append(Background("scheduler-folder", self.folder.run, on_death))
        # ``stop`` stops the intakes first, then the loops, and last the relay, which publishes their messages.
        self._intakes, self._loops = intakes, loops
        self._relay = Background("scheduler-relay", parts.relay.run, on_death, parts.relay.wake)

    def _register(
        self, tx: Transaction, version: str, settings: ReportedSettings | None, started_at: datetime
    ) -> dict[str, Any]:
        """Write this scheduler's row of the table ``services``; return those of its columns that stay as they are."""
        fixed = {
            "kind": "scheduler",
            "instance_id": self.instance_id,
            "host": socket.gethostname(),
            "version": version,
            "started_at": started_at,
            "follows_chains": True,  # for schedulers that know no protocol
            "protocol": PROTOCOL,
            "settings": settings,
        }
        tx.services.put({**fixed, "heartbeat_at": started_at, "reports_until": None, "session_since": started_at})
        return fixed

    @property
    def trouble(self) -> str:
        """Why this scheduler is not ready, or an empty string if it is. Does not check the disk: it uses none."""
        if not all(thread.alive for thread in [*self._intakes, *self._loops, self._relay]):
            return "a thread of the scheduler ended unexpectedly: see the log"
        if self._store.away:
            return "the database is unavailable: see the log"
        return "" if self._transport.healthy else "the message broker is unavailable or blocks publishers"

    @property
    def judged_age_s(self) -> float:
        """The age of the time up to which this scheduler has judged whether workers are lost."""
        return (self._clock() - self._leases.judged_at).total_seconds()

    def start(self) -> None:
        for thread in [self._relay, *self._loops, *self._intakes]:
            thread.start()
        _log.info("scheduler.started", extra={"instance_id": self.instance_id})

    def stop(self) -> None:
        """Stop every thread. Each consumed message is either committed and acked, or returned to its broker queue."""
        for group in (self._intakes, self._loops, [self._relay]):
            for thread in group:
                thread.ask_to_stop()
            for thread in group:
                thread.stop()
        if self._transport.healthy:
            self._deregister()
        _log.info("scheduler.stopped", extra={"instance_id": self.instance_id})

    def _deregister(self) -> None:
        """Delete this scheduler's row. The broker has its reports again, so others need not wait for its session."""
        try:
            with self._store.begin() as tx:
                tx.services.remove("scheduler", self.instance_id)
        except StoreUnavailable as error:
            _log.info("scheduler.not_deregistered", extra={"error": str(error)})


def _hearing(lease_s: float) -> Hearing:
    # After a new connection, workers may need longer than this process to connect again.
    settle_s = max(0.0, lease_s / 4 + _RECONNECT_S - lease_s)
    return Hearing(gap_s=min(lease_s * _GAP_OF_LEASE, _MOST_GAP_S), settle_s=settle_s)
