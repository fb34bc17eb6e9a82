"""Composition of a scheduler: its threads, and the order in which they stop."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.commands.pools import apply_configured_pools
from services.scheduler.commands.queues import apply_configured_queues
from services.scheduler.deciding.dag_folder.dag_files import DagFiles
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.report_queues import ReportQueues
from services.scheduler.deciding.transactor import PROTOCOL, Transactor
from services.scheduler.liveness.marks import Marks
from services.scheduler.liveness.watch import WorkerWatch
from services.scheduler.loops.dead_letters import DeadLetterLoop
from services.scheduler.loops.folder import ANSWER_S, Folder
from services.scheduler.loops.intakes import audit_intake, commands_intake, events_intake, logs_intake
from services.scheduler.loops.turn import Turn
from services.scheduler.loops.verifying import Verifying
from shared.errors import StoreUnavailable
from shared.ids import new_token
from shared.service import Background
from shared.settings.effective import ReportedSettings
from shared.store.writes.transaction import Store
from shared.transport.base import AUDIT, COMMANDS, HEARTBEATS, LOGS, Transport, task_queue

if TYPE_CHECKING:
    from shared.store.checks.verify import CheckResult

__all__ = ["Scheduler", "SchedulerSettings"]

_log = logging.getLogger(__name__)

_COMMANDS_AHEAD = 32
"""With so many AMQP messages of commands in hand, a scheduler does not keep up: others get what comes next."""
_EVENTS_AHEAD = 500
"""With fewer, another scheduler gets reports about a wide run, whose rows both then read and lock in turns (ADR 76)."""
_LOGS_AHEAD = 64
_AUDIT_AHEAD = 200
_ACKS_WAIT_S = 0.05
"""A redelivered message is recognised as already recorded, so acknowledgements may wait."""
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """Settings of a scheduler. ``shared.settings.options.OPTIONS`` describes those without a text here."""

    version: str
    """The version of Dagway that runs."""
    lease_s: float
    dags_dir: Path | None = None
    dag_files: DagFiles | None = None
    """Writes DAGs that are changed by commands to the DAG folder, if it is set."""
    dags_answer_s: float = ANSWER_S
    """How long the DAG folder may be silent before the others go on without it."""
    base_config: str = ""
    """The YAML text that the spec of every new run inherits."""
    tz: ZoneInfo = _UTC
    queues: Mapping[str, int] = field(default_factory=dict)
    pools: Mapping[str, int] = field(default_factory=dict)
    audit_days: int = 0
    history_days: int = 0
    shards: bool = False
    """See ``ReportQueues``."""
    verify_every_s: float = 0
    reported: ReportedSettings | None = None
    """What administrators read about the settings of this process."""


class Scheduler:
    """One scheduler replica. Any number of replicas may share a database and a broker; there is no leader.

    ``on_death`` is called when one of the threads dies from a bug, so that the process can exit. ``verify`` checks the
    database; it is called every ``settings.verify_every_s`` seconds, unless that is 0.
    """

    def __init__(
        self,
        store: Store,
        transport: Transport,
        settings: SchedulerSettings,
        *,
        clock: Callable[[], datetime],
        on_death: Callable[[], None],
        verify: "Callable[[], Sequence[CheckResult]] | None" = None,
    ) -> None:
        self.instance_id = f"{socket.gethostname()}-{new_token()[:8]}"
        self._store, self._transport, self._clock, self._settings = store, transport, clock, settings
        self._on_death = on_death
        report_queues = ReportQueues(self.instance_id, settings.version, shards=settings.shards)
        transport.declare([COMMANDS, *report_queues.queues, LOGS, AUDIT, HEARTBEATS, task_queue({})])
        plans = Plans(settings.base_config, settings.version, settings.dags_dir and settings.dags_dir.absolute())
        parts = Assembly(
            store,
            transport,
            SchedulerMemory(plans, settings.dag_files, report_queues),
            clock,
            settings.tz,
            audit_days=settings.audit_days,
            history_days=settings.history_days,
        )
        transactor = parts.transactor
        self.folder: Folder | None = None
        if settings.dags_dir is not None:
            self.folder = Folder(transactor, settings.dags_dir, answer_s=settings.dags_answer_s, on_death=on_death)
            # Files may have changed while no scheduler ran. Nothing is consumed yet, and no schedule has fired.
            self.folder.look()
        # Before this process can receive reports, the others must know of it; see ``report_marks``.
        watch = self._watch = WorkerWatch(
            transport, transactor, self._register(transactor), poll=parts.poll, lease_s=settings.lease_s
        )
        # ``stop`` stops the intakes first, then the loops, and last the relay, which publishes their messages.
        self._intakes = [*self._open_intakes(transactor, report_queues, watch.marks), watch.listening(on_death)]
        self._loops = [
            *parts.loops(on_death),
            *watch.loops(on_death),
            *self._one_at_a_time(verify),
        ]
        if self.folder is not None:
            self._loops.append(Background("scheduler-folder", self.folder.run, on_death))
        self._relay = Background("scheduler-relay", parts.relay.run, on_death, parts.relay.wake)

    def _register(self, transactor: Transactor) -> dict[str, Any]:
        """Write this scheduler's row of the table ``services``, and read what the others have written.

        Returns those columns of the row that stay as they are.
        """
        with self._store.begin() as tx:
            started_at = self._clock()
            apply_configured_queues(tx, self._settings.queues, started_at)
            apply_configured_pools(tx, self._settings.pools, started_at)
            fixed = {
                "kind": "scheduler",
                "instance_id": self.instance_id,
                "host": socket.gethostname(),
                "version": self._settings.version,
                "started_at": started_at,
                "protocol": PROTOCOL,
                "settings": self._settings.reported,
            }
            tx.services.put({**fixed, "heartbeat_at": started_at, "reports_until": None, "session_since": started_at})
            transactor.note_schedulers(tx.services.schedulers())
            transactor.memory.rules.read(tx)
        return fixed

    def _open_intakes(self, transactor: Transactor, report_queues: ReportQueues, marks: Marks) -> list[Background]:
        """Begin to consume what others send; return the threads that record it."""
        consume = partial(self._transport.consume, acks_wait_s=_ACKS_WAIT_S, priorities=report_queues.priorities)
        commands = commands_intake(transactor, consume([COMMANDS], prefetch=_COMMANDS_AHEAD))
        events = events_intake(
            transactor,
            consume(report_queues.queues, prefetch=_EVENTS_AHEAD),
            lambda batch: marks.recorded_until_for_intake(batch.tx.services.schedulers(), batch.now),
        )
        marks.watch(lambda: events.recorded_through_s, events.wake)
        logs = logs_intake(transactor, consume([LOGS], prefetch=_LOGS_AHEAD))
        audit = audit_intake(transactor, consume([AUDIT], prefetch=_AUDIT_AHEAD))
        return [
            Background("scheduler-commands", commands.run, self._on_death, commands.wake),
            Background("scheduler-events", events.run, self._on_death, events.wake),
            Background("scheduler-logs", logs.run, self._on_death, logs.wake),
            Background("scheduler-audit", audit.run, self._on_death, audit.wake),
        ]

    def _one_at_a_time(self, verify: "Callable[[], Sequence[CheckResult]] | None") -> list[Background]:
        """Return the threads whose work only one of all schedulers does at a time."""
        store, clock = self._store, self._clock
        turn = Turn(clock, self.instance_id, self._settings.lease_s)
        letters = DeadLetterLoop(store, self._transport, clock, turn)
        loops = [Background("scheduler-dead-letters", letters.run, self._on_death)]
        if verify is not None and (every_s := self._settings.verify_every_s):
            verifying = Verifying(store, verify, clock, turn, every_s=every_s)
            loops.append(Background("scheduler-verifying", verifying.run, self._on_death))
        return loops

    @property
    def trouble(self) -> str:
        """Why this scheduler is not ready, or an empty string if it is. Does not check the disk: it uses none."""
        if not all(thread.alive for thread in [*self._intakes, *self._loops, self._relay]):
            return "a thread of the scheduler ended unexpectedly: see the log"
        if self._store.away:
            return "the database is unavailable: see the log"
        if forbidden := self._transport.forbidden:
            return f"the broker login may not consume {', '.join(forbidden)}"
        return "" if self._transport.healthy else "the message broker is unavailable or blocks publishers"

    @property
    def judged_age_s(self) -> float:
        """The age of the time up to which this scheduler has judged whether workers are lost."""
        return (self._clock() - self._watch.judged_at).total_seconds()

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
                tx.services.remove_scheduler(self.instance_id)
        except StoreUnavailable as error:
            _log.info("scheduler.not_deregistered", extra={"error": str(error)})
