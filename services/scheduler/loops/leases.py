"""Leases: who is still there, and what becomes of the attempts of those who are not.

A worker is believed until ``lease_until``, renewed by its heartbeats. A scheduler that could not
hear must not judge: it expires leases only after its own heartbeat consumer was connected for a
whole lease, and after it has findings the end of the event route since, because a report that waits
there still counts. Heartbeats with news are recorded at once, the others by the look itself, before it
judges.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.core.decision import Halt
from services.scheduler.core.messages import AttemptLost, TaskUndelivered
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import Notice
from services.scheduler.deciding.post_commit import NEVER
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.duplicate_worker_ids import DuplicateWorkerIds
from services.scheduler.loops.heartbeats import HeartbeatBuffer, ReceivedHeartbeat, state_of
from services.scheduler.loops.intake import Intake
from services.scheduler.loops.lost_tasks import LostTasks
from services.scheduler.loops.missing_attempts import MissingAttempts
from services.scheduler.loops.relay import OVERDUE_S
from services.scheduler.metrics import HEARTBEATS_UNREADABLE, LEASES_LOST
from shared.contracts.codec import decode_as
from shared.contracts.events import Heartbeat
from shared.errors import BrokerUnavailable, DecodeFailed, StoreUnavailable
from shared.status import AttemptState
from shared.transport.base import BrokerQueue, Consumer, Transport, task_queue, worker_queue

__all__ = ["Leases"]

Row = Mapping[str, Any]

_log = logging.getLogger(__name__)

_GATHER_S = 0.5
"""Heartbeats of several workers share one transaction."""
_AT_ONCE = 500
_RECONNECT_S = 6
"""The longest pause between a worker's attempts to connect, and the time to do it; its next heartbeat comes on top."""
_STOPPED = frozenset({"step", "prepare"})
"""What a stop ends: handlers and errands are what follows it."""
_MARGIN_S = 2
"""For a sweep that is late."""


@dataclass(frozen=True, slots=True)
class _Findings:
    """``judged_at``: all that was reported before then is recorded. ``waiting``: where overdue tasks may wait."""

    judged_at: datetime
    notices: list[tuple[str, Notice]]
    waiting: list[BrokerQueue]


class Leases:
    """Records heartbeats, and looks for attempts whose worker is gone and tasks that reached nobody.

    ``lease_s`` is how long one heartbeat is believed.
    """

    def __init__(
        self,
        transactor: Transactor,
        transport: Transport,
        heartbeats: Consumer,
        events: Intake[datetime],
        *,
        lease_s: float,
        service: Mapping[str, Any],
    ) -> None:
        self._transactor = transactor
        self._heartbeats = heartbeats
        self._events = events
        self._lease = timedelta(seconds=lease_s)
        self._service = service
        self._beats = HeartbeatBuffer()
        self._ids = DuplicateWorkerIds()
        self._missing = MissingAttempts()
        # After an outage workers are back a little later than this process may be.
        self._deaf_s = max(lease_s, lease_s / 4 + _RECONNECT_S)
        # A task whose sender died is not lost: a sweep sends it. Only then may it be missed.
        self._lost_tasks = LostTasks(transport, max(self._lease, timedelta(seconds=OVERDUE_S + _MARGIN_S)))

    # -- hearing ------------------------------------------------------------------------------

    def listen(self, stop: threading.Event) -> None:
        """Record heartbeats until ``stop``; the body of a background thread."""
        while not stop.is_set():
            deliveries = self._heartbeats.take(_AT_ONCE, _GATHER_S)
            beats = []
            for delivery in deliveries:
                try:
                    beats.append(decode_as(delivery.body, Heartbeat))
                except DecodeFailed as error:
                    _log.error("heartbeat.unreadable", extra={"why": str(error)})
                    HEARTBEATS_UNREADABLE.inc()
                delivery.ack()
            news = self._beats.hear(beats, self._transactor.clock())
            if news:
                self._transactor.decide_patiently(lambda batch, news=news: self._record(batch, news), stop)  # type: ignore[misc]
                self._beats.recorded(news)
                stop.wait(_GATHER_S)
        self._heartbeats.close()

    def _renew(self, batch: Batch, beats: Sequence[ReceivedHeartbeat]) -> None:
        if beats:
            self._record(
                batch,
                self._beats.still_true(beats, batch.tx.leases.lock_workers([b.heartbeat.worker_id for b in beats])),
            )

    def _record(self, batch: Batch, beats: Sequence[ReceivedHeartbeat]) -> None:
        if unsure := self._beats.not_recorded(beats):
            rows = batch.tx.leases.workers([beat.worker_id for beat in unsure])
            self._ids.check(unsure, rows, batch.now)
        batch.tx.leases.put_workers([self._row(beat.heartbeat, beat.heard_at) for beat in beats])
        for halt in self._answers(batch, {beat.heartbeat.worker_id: beat.heartbeat for beat in beats}):
            batch.halt(halt)

    def _row(self, beat: Heartbeat, heard_at: datetime) -> dict[str, Any]:
        return {
            "worker_id": beat.worker_id,
            "incarnation": beat.incarnation,
            "host": beat.host,
            "version": beat.version,
            "labels": beat.labels,
            "executors": beat.executors,
            "slots": beat.slots,
            "busy": len(beat.tokens),
            "state": state_of(beat),
            "started_at": beat.started_at,
            "heartbeat_at": heard_at,
            "lease_until": heard_at + self._lease,
        }

    def _answers(self, batch: Batch, newest: Mapping[str, Heartbeat]) -> list[Halt]:
        """Say again what a worker may have missed: attempts it lost, runs that are being stopped."""
        rows = batch.tx.leases.open_attempts(sorted(newest))
        self._missing.hear(rows, newest, batch.now)
        holders = [worker_id for worker_id, beat in newest.items() if beat.tokens]
        known = {row["token"] for row in rows}
        halts = [
            Halt(row["token_worker"], row["token"], revoked=False, reason=row["stop_reason"])
            for row in rows
            if row["stop_reason"] and row["kind"] in _STOPPED and row["token_state"] == AttemptState.RUNNING
            # A repeated step ends its execution undisturbed.
            if not (row["stop_reason"] == "stop" and self._repeats(batch, row))
        ]
        for worker_id in holders:
            # A token that is nobody's open attempt any more. One whose start is not recorded yet is.
            stale = [token for token in newest[worker_id].tokens if token not in known]
            open_elsewhere = batch.tx.leases.open_tokens(stale) if stale else set()
            halts.extend(
                Halt(worker_id, token, revoked=True, reason="stale token")
                for token in stale
                if token not in open_elsewhere
            )
        return halts

    def _repeats(self, batch: Batch, row: Row) -> bool:
        key = row["spec_hash"], row["file_name"] or ""
        steps = self._transactor.plans.get_many(batch.tx, [key])[key].dag.steps
        return row["idx"] < len(steps) and steps[row["idx"]].repeat_policy is not None

    # -- judging ------------------------------------------------------------------------------

    def run_once(self) -> int:
        """Find attempts that nobody will report on, and tell the core; return how many."""
        transactor = self._transactor
        findings = transactor.decide(self._find)
        if findings is None:
            return 0
        try:
            self._lost_tasks.observe(findings.waiting, transactor.clock())
        except BrokerUnavailable as error:
            _log.warning("leases.routes_unseen", extra={"error": str(error)})
        notices = findings.notices + [
            (one.run_key, AttemptLost(one.node, one.token, f"worker {one.worker_id} does not hold this step any more"))
            for one in self._missing.lasting(self._lease, findings.judged_at)
        ]
        if not notices:
            return 0
        LEASES_LOST.inc(sum(1 for _, notice in notices if isinstance(notice, AttemptLost)))
        for start in range(0, len(notices), _AT_ONCE):
            transactor.notice(notices[start : start + _AT_ONCE])
        return len(notices)

    def _find(self, batch: Batch) -> _Findings | None:
        """Give a sign of life, renew leases, and find what to tell the core; nothing is locked for it.

        ``None``: this scheduler has not heard enough yet to judge anybody.
        """
        tx, now = batch.tx, batch.now
        tx.services.put({**self._service, "heartbeat_at": now})
        tx.services.forget(now - timedelta(minutes=10))
        self._renew(batch, self._beats.quiet())
        if self._heartbeats.connected_for_s < self._deaf_s or self._events.drained_at == NEVER:
            return None
        # Only what was decided before the route was last findings empty can be judged.
        judged_at = min(now, self._events.drained_at)
        for worker_id in tx.leases.expire_workers(judged_at):
            _log.warning("worker.lost", extra={"worker_id": worker_id})
        notices: list[tuple[str, Notice]] = [
            (row["run_key"], _gone(row)) for row in tx.leases.doubtful_attempts(judged_at)
        ]
        waiting = self._waiting(batch, judged_at)
        for before, origins in self._lost(waiting, judged_at).items():
            notices += [
                (row["run_key"], TaskUndelivered(row["idx"], row["token"], "its task was lost on the way"))
                for row in tx.leases.overdue_attempts(origins, before)
            ]
        return _Findings(judged_at, notices, [route for route, _ in waiting])

    def _waiting(self, batch: Batch, judged_at: datetime) -> list[tuple[BrokerQueue, Row]]:
        """Return the routes on which overdue tasks may wait, each with an origin of such tasks."""
        origins = batch.tx.leases.overdue_origins(judged_at - self._lost_tasks.overdue)
        keys = {(row["spec_hash"], row["file_name"] or "") for row in origins if row["token_worker"] is None}
        plans = self._transactor.plans.get_many(batch.tx, sorted(keys))
        found: list[tuple[BrokerQueue, Row]] = []
        for row in origins:
            if row["token_worker"] is not None:
                found.append((worker_queue(row["token_worker"]), row))
                continue
            selector = plans[row["spec_hash"], row["file_name"] or ""].dag.worker_selector
            if selector:
                # A worker that came later, or missed it, learns of the route now.
                batch.after.selectors.add(tuple(sorted(selector.items())))
            found.append((task_queue(dict(selector)), row))
        return found

    def _lost(self, waiting: Sequence[tuple[BrokerQueue, Row]], judged_at: datetime) -> dict[datetime, list[Row]]:
        """Return origins whose tasks are lost, by the moment before which they left."""
        lost: dict[datetime, list[Row]] = {}
        for route, origin in waiting:
            before = self._lost_tasks.sent_before(route, judged_at)
            if before is not None:
                lost.setdefault(before, []).append(origin)
        return lost

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop``; the body of a background thread."""
        # Heartbeats that say nothing new wait for it: several looks must fit into a lease.
        pause_s = min(3.0, self._lease.total_seconds() * 0.3)
        while not stop.is_set():
            try:
                self.run_once()
            except StoreUnavailable as error:
                _log.warning("leases.wait", extra={"error": str(error)})
            stop.wait(pause_s)


def _gone(row: Row) -> AttemptLost:
    worker = row["token_worker"]
    running = row["token_state"] == AttemptState.RUNNING
    why = f"worker {worker} was lost while it ran this step" if running else f"worker {worker} is gone"
    return AttemptLost(row["idx"], row["token"], why)
