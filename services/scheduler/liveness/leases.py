"""Renews the leases of workers, and rescues the attempts of lost workers and lost tasks.

A worker's attempts count as alive until ``lease_until``, which its heartbeats renew. A scheduler judges only what it
provably heard (ADR 24): a worker is lost if its lease has ended in the database, if this scheduler heard nothing of it
for a whole lease while heartbeats could come through (``Hearing``), and if all reports that were sent before the end of
the lease are recorded, by whichever scheduler received them (``Marks``).
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.core.messages import AttemptLost, TaskUndelivered
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import Notice
from services.scheduler.deciding.post_commit import NEVER
from services.scheduler.deciding.rows import plan_key
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.liveness.hearing import Hearing
from services.scheduler.liveness.heartbeat_records import HeartbeatRecords
from services.scheduler.liveness.lost_tasks import LostTasks
from services.scheduler.liveness.marks import Marks
from services.scheduler.loops.poll import Poll
from services.scheduler.loops.relay import OVERDUE_S
from services.scheduler.metrics import LEASES_LOST
from shared.errors import BrokerUnavailable, StoreUnavailable
from shared.status import AttemptState
from shared.transport.base import BrokerQueue, Transport, task_queue, worker_queue

__all__ = ["Leases", "look_s", "looks_per_pass"]

Row = Mapping[str, Any]

_log = logging.getLogger(__name__)

_AT_ONCE = 500
_LOOKS_PER_PASS = 3
_LOOKS_PER_PASS_IDLE = 4
_FORGOTTEN_AFTER = timedelta(minutes=10)
_MARGIN_S = 2
"""How late a sweep may be."""


@dataclass(frozen=True, slots=True)
class _Findings:
    """What one pass found.

    ``judged_at``: all heartbeats and reports sent before this time were heard. ``waiting``: the broker queues on which
    overdue tasks may wait. ``doubtful``: schedulers whose sessions at the broker may be over.
    """

    judged_at: datetime
    notices: list[tuple[str, Notice]]
    waiting: list[BrokerQueue]
    doubtful: list[str]


class Leases:
    """Renews leases, and finds attempts whose worker is lost and tasks that reached no worker.

    ``lease_s``: how long a lease lasts after a heartbeat. ``service``: this scheduler's row in the table ``services``.
    """

    def __init__(
        self,
        transactor: Transactor,
        transport: Transport,
        records: HeartbeatRecords,
        hearing: Hearing,
        marks: Marks,
        *,
        poll: Poll,
        lease_s: float,
        service: Mapping[str, Any],
    ) -> None:
        self._transactor = transactor
        self._records, self._hearing, self._marks, self._poll = records, hearing, marks, poll
        self._lease = timedelta(seconds=lease_s)
        self._service = service
        self.judged_at: datetime = service["started_at"]
        """The time up to which the last pass has judged."""
        # If the scheduler that wrote a task died, a sweep sends the task. Only after that time can it count as lost.
        overdue = max(self._lease, timedelta(seconds=OVERDUE_S + _MARGIN_S))
        self._lost_tasks = LostTasks(transport, overdue, self._lease)

    def run_once(self) -> int:
        """Find attempts that no worker will report on, and notify their runs; return how many."""
        transactor = self._transactor
        findings = transactor.decide(self._find)
        try:
            self._marks.ask(findings.doubtful)
            self._lost_tasks.observe(findings.waiting, transactor.clock())
        except BrokerUnavailable as error:
            _log.warning("leases.routes_unseen", extra={"error": str(error)})
        missing = self._records.missing.lasting(self._lease, findings.judged_at)
        notices = findings.notices + [
            (one.run_key, AttemptLost(one.node, one.token, f"worker {one.worker_id} does not hold this step any more"))
            for one in missing
        ]
        # The next pass finds the attempts of locked runs again.
        locked: set[str] = set()
        for start in range(0, len(notices), _AT_ONCE):
            locked |= transactor.notice(notices[start : start + _AT_ONCE])
        self._records.missing.forget(one.token for one in missing if one.run_key not in locked)
        done = [notice for key, notice in notices if key not in locked]
        LEASES_LOST.inc(sum(1 for notice in done if isinstance(notice, AttemptLost)))
        return len(done)

    def _find(self, batch: Batch) -> _Findings:
        """Record this scheduler's heartbeat, renew leases, and find lost attempts and tasks, without locking runs."""
        tx, now = batch.tx, batch.now
        self._poll.run(tx, now)  # first, because it locks nothing
        self._put_mark(batch)
        beats = self._records.quiet()
        # Read after the heartbeats were heard: the attempts that they name were open before.
        overview = tx.leases.overview(now, self._lease)
        if overview.ahead and (ids := tx.leases.set_back(now, self._lease)):
            _log.warning("leases.set_back", extra={"workers": ids})
        self._records.renew(batch, beats, idle=not overview.open)
        peers = tx.services.schedulers()
        if any(row["heartbeat_at"] < now - _FORGOTTEN_AFTER for row in peers):
            tx.services.forget(now - _FORGOTTEN_AFTER)
        self._transactor.note_schedulers(peers)
        self._transactor.memory.rules.read(tx)
        doubtful = self._marks.doubtful(peers, now)
        judged_at = min(now, self._hearing.until, self._marks.recorded_until(peers))
        self.judged_at = max(min(self.judged_at, now), judged_at)
        if judged_at == NEVER:
            return _Findings(judged_at, [], [], doubtful)
        self._marks.idle = not overview.open
        silent = [one for one in tx.leases.ended(judged_at) if self._is_silent(one)] if overview.ended else []
        for worker_id in tx.leases.expire_workers(silent, judged_at) if silent else ():
            _log.warning("worker.lost", extra={"worker_id": worker_id})
        if not overview.open:
            return _Findings(judged_at, [], [], doubtful)
        notices: list[tuple[str, Notice]] = [
            (row["run_key"], _gone(row))
            for row in tx.leases.doubtful_attempts(judged_at)
            if self._is_lost(row, judged_at)
        ]
        waiting = self._waiting(batch, judged_at)
        in_hand = self._hearing.in_hand(self._lease.total_seconds())
        for before, origins in self._lost(waiting, judged_at).items():
            notices += [
                (row["run_key"], TaskUndelivered(row["idx"], row["token"], "its task was lost on the way to a worker"))
                for row in tx.leases.overdue_attempts(origins, before)
                if row["token"] not in in_hand
            ]
        return _Findings(judged_at, notices, [broker_queue for broker_queue, _ in waiting], doubtful)

    def _put_mark(self, batch: Batch) -> None:
        batch.tx.services.put({**self._service, **self._marks.row(), "heartbeat_at": batch.now})

    def _is_silent(self, worker_id: str) -> bool:
        return self._hearing.silent(worker_id, self._lease.total_seconds())

    def _is_lost(self, row: Row, judged_at: datetime) -> bool:
        """Return whether the attempt in a row of ``doubtful_attempts`` is lost."""
        heard = self._hearing.worker(row["token_worker"])
        replaced = (
            row["token_state"] == AttemptState.RUNNING
            and heard is not None
            and heard.newest.incarnation == row["incarnation"] != row["token_incarnation"]
        )
        if replaced and heard is not None and heard.since < judged_at:
            # All that the former process sent is recorded, except what it left in its spool.
            return row["token"] not in heard.newest.tokens
        ended = row["lease_until"] is None or row["lease_until"] < judged_at
        return ended and self._is_silent(row["token_worker"])

    def _waiting(self, batch: Batch, judged_at: datetime) -> list[tuple[BrokerQueue, Row]]:
        """Return the broker queues on which overdue tasks may wait, each with a row of ``overdue_origins``.

        The row names the worker or the DAG that the tasks are for. DAGs with the same worker selector share a broker
        queue, so the same broker queue can be listed several times.
        """
        origins = batch.tx.leases.overdue_origins(judged_at - self._lost_tasks.overdue)
        keys = {plan_key(row) for row in origins if row["token_worker"] is None}
        plans = batch.plans.get_many(batch.tx, sorted(keys))
        found: list[tuple[BrokerQueue, Row]] = []
        for row in origins:
            if row["token_worker"] is not None:
                found.append((worker_queue(row["token_worker"]), row))
                continue
            selector = plans[plan_key(row)].dag.worker_selector
            # Again, for workers that started later or missed the message.
            batch.after.announce(selector)
            found.append((task_queue(selector), row))
        return found

    def _lost(self, waiting: Sequence[tuple[BrokerQueue, Row]], judged_at: datetime) -> dict[datetime, list[Row]]:
        """Return rows of ``overdue_origins`` with lost tasks, grouped by a time.

        All overdue tasks of a row that were sent before that time are lost, except those that a worker has in hand.
        """
        lost: dict[datetime, list[Row]] = {}
        for broker_queue, row in waiting:
            before = self._lost_tasks.sent_before(broker_queue, judged_at)
            if before is not None:
                lost.setdefault(before, []).append(row)
        return lost

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        lease_s = self._lease.total_seconds()
        while not stop.is_set():
            looks = 1
            try:
                self.run_once()
                while not stop.wait(look_s(lease_s)) and looks < looks_per_pass(idle=self._marks.idle):
                    looks += 1
                    # The other schedulers need this one's mark before they can judge a worker, and all of them before
                    # they can answer a worker in doubt.
                    if self._hearing.somebody_overdue(lease_s) or self._marks.hurried:
                        self._transactor.decide(self._put_mark)
            except StoreUnavailable as error:
                _log.warning("leases.wait", extra={"error": str(error)})
                stop.wait(look_s(lease_s))


def look_s(lease_s: float) -> float:
    """Return how many seconds after a pass, or after a look, the loop looks whether others need this one's mark."""
    return min(1.0, lease_s * 0.1)


def looks_per_pass(*, idle: bool) -> int:
    """Return after how many looks the next pass comes. ``idle``: no attempt is open.

    Heartbeats without news are recorded in the next pass, so it must come well before the lease ends.
    """
    return _LOOKS_PER_PASS_IDLE if idle else _LOOKS_PER_PASS


def _gone(row: Row) -> AttemptLost:
    worker = row["token_worker"]
    running = row["token_state"] == AttemptState.RUNNING
    why = f"worker {worker} was lost while it ran this step" if running else f"worker {worker} was lost"
    return AttemptLost(row["idx"], row["token"], why)
