"""Records heartbeats: one with news immediately, all others in the next pass of ``Leases``.

What the database knows of the attempts that a worker holds is compared with what its heartbeat lists. So a worker that
missed a halt gets it again, and an attempt that its worker does not hold is noted.
"""

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.core.decision import STALE_TOKEN, Halt
from services.scheduler.core.plan import PREPARE, STEP
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.rows import plan_key
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.liveness.duplicate_worker_ids import DuplicateWorkerIds
from services.scheduler.liveness.heartbeats import ReceivedHeartbeat, of_former_process, state_of
from services.scheduler.liveness.listening import HeartbeatListener
from services.scheduler.liveness.missing_attempts import MissingAttempts
from services.scheduler.metrics import HEARTBEATS_UNREADABLE
from shared.contracts.attempt_tokens import chain_of
from shared.contracts.events import Heartbeat
from shared.errors import StoreUnavailable
from shared.service import backoff_s
from shared.status import AttemptState, StopReason

__all__ = ["HeartbeatRecords"]

Row = Mapping[str, Any]

_log = logging.getLogger(__name__)

_GATHER_S = 0.5
"""How long heartbeats are collected, so that those of several workers share one transaction."""
_MOST_STALE = 500
"""For how many stale attempts a heartbeat is answered; the next one is for the others. A stolen key can name any."""
_STOPPED = frozenset({STEP, PREPARE})
"""The kinds of node that the stop of a run ends. Handlers and follow-ups run after the stop."""


class HeartbeatRecords:
    """Writes the heartbeats that ``listener`` hears. ``lease``: how long a lease lasts after a heartbeat.

    ``missing``: the attempts that the heartbeats of their workers do not list.
    """

    def __init__(self, transactor: Transactor, listener: HeartbeatListener, lease: timedelta) -> None:
        self._transactor = transactor
        self._listener, self._beats = listener, listener.buffer
        self._lease = lease
        self._ids = DuplicateWorkerIds()
        self.missing = MissingAttempts()

    def run(self, stop: threading.Event) -> None:
        """Record heartbeats with news until ``stop``; the body of a background thread."""
        tries = 0
        while not stop.is_set():
            self._listener.news.wait()
            self._listener.news.clear()
            news = self._beats.news()
            try:
                dropped = self._record_news(news)
            except StoreUnavailable as error:
                self._beats.give_back(news)
                self._listener.news.set()
                if tries == 0:
                    _log.warning("leases.wait", extra={"error": str(error)})
                tries += 1
                stop.wait(backoff_s(tries, cap_s=2))
            else:
                tries = 0
                # One that is not recorded stays news. So ``renew`` records nothing that was never recorded here.
                self._beats.recorded(beat for beat in news if beat not in dropped)
                stop.wait(_GATHER_S)

    def _record_news(self, news: Sequence[ReceivedHeartbeat]) -> list[ReceivedHeartbeat]:
        """Record heartbeats; return those that are not recorded. They cost no other: a stolen key can send any."""
        if not news:
            return []
        try:
            return self._transactor.decide(lambda batch: self._record(batch, news))
        except StoreUnavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever a heartbeat holds, the scheduler lives
            if len(news) > 1:
                return [beat for one in news for beat in self._record_news([one])]
            _log.exception("heartbeat.unreadable", extra={"worker_id": news[0].heartbeat.worker_id})
            HEARTBEATS_UNREADABLE.inc()
            return list(news)

    def quiet(self) -> list[ReceivedHeartbeat]:
        """Return the heartbeats without news since the last call, for ``renew``."""
        return self._beats.quiet()

    def renew(self, batch: Batch, beats: Sequence[ReceivedHeartbeat], *, idle: bool) -> None:
        """Record heartbeats without news. ``idle``: no attempt was open after they were heard."""
        if not beats:
            return
        rows = batch.tx.leases.lock_workers([beat.heartbeat.worker_id for beat in beats])
        drained = {row["worker_id"] for row in rows if row["drained_at"] is not None}
        self._record(batch, self._beats.still_true(beats, rows), drained=drained, idle=idle)

    def _record(
        self,
        batch: Batch,
        beats: Sequence[ReceivedHeartbeat],
        *,
        drained: Collection[str] | None = None,
        idle: bool = False,
    ) -> list[ReceivedHeartbeat]:
        """Record heartbeats, and return those of former processes, which are not recorded.

        ``drained``: those of the workers that are drained, if the caller knows.
        """
        late: list[ReceivedHeartbeat] = []
        if unsure := self._beats.not_recorded(beats):
            rows = {row["worker_id"]: row for row in batch.tx.leases.workers([beat.worker_id for beat in unsure])}
            self._ids.check(unsure, rows.values(), batch.now)
            late = [
                one for one in beats if of_former_process(one.heartbeat, rows.get(one.heartbeat.worker_id), batch.now)
            ]
            beats = [one for one in beats if one not in late]
        batch.tx.leases.put_workers([self._row(beat.heartbeat, beat.heard_at) for beat in beats])
        newest = {beat.heartbeat.worker_id: beat.heartbeat for beat in beats}
        held = [] if idle else batch.tx.leases.open_attempts(sorted(newest))
        for halt in self._answers(batch, newest, held):
            batch.halt(halt)
        if drained is None:
            drained = batch.tx.leases.drained_workers(sorted(newest))
        batch.after.drain_orders |= {
            beat.worker_id: beat.worker_id in drained
            for beat in (each.heartbeat for each in beats)
            if beat.drained is not None and not beat.stopped and beat.drained != (beat.worker_id in drained)
        }
        return late

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
            "settings": beat.settings,
        }

    def _answers(self, batch: Batch, newest: Mapping[str, Heartbeat], rows: Sequence[Row]) -> list[Halt]:
        """Return halts that workers may have missed, to send them again. ``rows``: the open attempts of these workers.

        They are for attempts that a worker runs although they are closed, and for attempts of runs that are stopping.
        """
        self.missing.hear(rows, newest, batch.now)
        holders = [worker_id for worker_id, beat in newest.items() if beat.tokens]
        known = {row["token"] for row in rows}
        halts = [
            Halt(row["token_worker"], row["token"], revoked=False, reason=row["stop_reason"])
            for row in rows
            if row["stop_reason"] and row["kind"] in _STOPPED and row["token_state"] == AttemptState.RUNNING
            # On a stop, a repeated step may finish its execution. A second stop ends it, or if that is missed a third.
            if row["stop_reason"] != StopReason.STOP or not batch.plans.get(batch.tx, plan_key(row)).repeats(row["idx"])
        ]
        for worker_id in holders:
            # A token is stale if no open attempt has it. An attempt whose start is not recorded yet is open. If one of
            # its chain is open, the worker has gone on, and the report of that is not recorded yet.
            stale = [token for token in dict.fromkeys(newest[worker_id].tokens) if token not in known][:_MOST_STALE]
            open_elsewhere = batch.tx.leases.open_chains(stale) if stale else set()
            halts.extend(
                Halt(worker_id, token, revoked=True, reason=STALE_TOKEN)
                for token in stale
                if chain_of(token) not in open_elsewhere
            )
        return halts
