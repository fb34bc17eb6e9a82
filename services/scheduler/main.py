"""Composition of a scheduler: its threads, and the order in which they stop."""

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.commands.pools import apply_configured_pools
from services.scheduler.commands.queues import apply_configured_queues
from services.scheduler.deciding.plans import Plans
from services.scheduler.loops.folder import Folder
from services.scheduler.loops.intake import commands_intake, events_intake, logs_intake
from services.scheduler.loops.leases import Leases
from services.scheduler.loops.peers import Peers
from services.scheduler.loops.spec_revalidation import SpecRevalidation
from services.scheduler.loops.verifying import Verifying
from shared.ids import new_token
from shared.service import Background
from shared.store.checks.verify import CheckResult
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS, EVENTS, HEARTBEATS, LOGS, Transport, task_queue

__all__ = ["Scheduler"]

_log = logging.getLogger(__name__)

_COMMANDS_AHEAD = 100
_EVENTS_AHEAD = 200
_LOGS_AHEAD = 64
_HEARTBEATS_AHEAD = 500
_ACKS_WAIT_S = 0.05
"""A redelivered message is recognised as already recorded, so acknowledgements may wait."""
_UTC = ZoneInfo("UTC")
_NONE: Mapping[str, int] = MappingProxyType({})


class Scheduler:
    """One scheduler replica. Any number of replicas may share a database and a broker; there is no leader.

    ``base_config`` is the YAML text that the spec of every new run inherits. ``verify`` checks the database; it is
    called every ``verify_every_s`` seconds, unless that is 0. ``on_death`` is called when one of the threads dies from
    a bug, so that the process can exit.
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
        on_death: Callable[[], None],
        base_config: str = "",
        tz: ZoneInfo = _UTC,
        queues: Mapping[str, int] = _NONE,
        pools: Mapping[str, int] = _NONE,
        verify: Callable[[], Sequence[CheckResult]] | None = None,
        verify_every_s: float = 0,
    ) -> None:
        transport.declare([COMMANDS, EVENTS, LOGS, HEARTBEATS, task_queue({})])
        self.instance_id = f"{socket.gethostname()}-{new_token()[:8]}"
        self._transport = transport
        parts = Assembly(store, transport, Plans(base_config, version, dags_dir and dags_dir.absolute()), clock, tz)
        transactor = parts.transactor
        with store.begin() as tx:
            apply_configured_queues(tx, queues, clock())
            apply_configured_pools(tx, pools, clock())
        commands = commands_intake(
            transactor, transport.consume([COMMANDS], prefetch=_COMMANDS_AHEAD, acks_wait_s=_ACKS_WAIT_S)
        )
        peers = Peers(self.instance_id, lambda: transport.consumers(EVENTS))
        events = events_intake(
            transactor,
            transport.consume([EVENTS], prefetch=_EVENTS_AHEAD, acks_wait_s=_ACKS_WAIT_S),
            peers.recorded_until,
        )
        logs = logs_intake(transactor, transport.consume([LOGS], prefetch=_LOGS_AHEAD, acks_wait_s=_ACKS_WAIT_S))
        service = {
            "kind": "scheduler",
            "instance_id": self.instance_id,
            "host": socket.gethostname(),
            "version": version,
            "started_at": clock(),
        }
        heartbeats = transport.consume([HEARTBEATS], prefetch=_HEARTBEATS_AHEAD)
        leases = Leases(transactor, transport, heartbeats, events, lease_s=lease_s, service=service)
        self.folder = Folder(transactor, dags_dir) if dags_dir is not None else None
        intakes = [
            ("commands", commands.run),
            ("events", events.run),
            ("logs", logs.run),
            ("heartbeats", leases.listen),
        ]
        loops = [
            ("leases", leases.run),
            ("admission", parts.admission.run),
            ("pools", parts.pools.run),
            ("housekeeping", parts.housekeeping.run),
            ("firing", parts.firing.run),
            ("timers", parts.timers.run),
            ("family", parts.parents.run),
            ("judging", SpecRevalidation(transactor).run),
        ]
        if verify is not None and verify_every_s:
            verifying = Verifying(
                store, verify, clock, instance_id=self.instance_id, lease_s=lease_s, every_s=verify_every_s
            )
            loops.append(("verifying", verifying.run))
        if self.folder is not None:
            loops.append(("folder", self.folder.run))
        # ``stop`` stops the intakes first, then the loops, and last the relay, which publishes their messages.
        self._intakes = [Background(f"scheduler-{name}", body, on_death) for name, body in intakes]
        self._loops = [Background(f"scheduler-{name}", body, on_death) for name, body in loops]
        self._relay = Background("scheduler-relay", parts.relay.run, on_death)

    @property
    def trouble(self) -> str:
        """Why this scheduler is not ready, or an empty string if it is. Does not check the disk: it uses none."""
        if not all(thread.alive for thread in [*self._intakes, *self._loops, self._relay]):
            return "a thread of the scheduler ended unexpectedly: see the log"
        return "" if self._transport.healthy else "the message broker is away or blocks publishers"

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
        _log.info("scheduler.stopped", extra={"instance_id": self.instance_id})
