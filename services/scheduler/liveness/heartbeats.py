"""Buffers heartbeats without news; the next pass of ``Leases`` renews all their leases in one transaction.

A heartbeat has no news if only its time differs from the last heartbeat of the same worker that this scheduler
recorded. So in an idle system heartbeats need no transactions of their own, even if there are many workers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from shared.contracts.events import Heartbeat
from shared.status import WorkerState

__all__ = ["HeartbeatBuffer", "ReceivedHeartbeat", "of_former_process", "state_of"]

_KEPT = 1000
"""From so many workers on, those that stopped or are silent are forgotten. Each pod is a worker of its own name."""
_SILENT = timedelta(hours=4)
"""A worker that has been silent for this long was killed. If not, its next heartbeat counts as news."""


@dataclass(frozen=True, slots=True)
class ReceivedHeartbeat:
    """A heartbeat, and the time when this scheduler received it. The lease begins at that time."""

    heartbeat: Heartbeat
    heard_at: datetime


class HeartbeatBuffer:
    """The last heartbeats of each worker that this scheduler received, in memory."""

    def __init__(self) -> None:
        self._recorded: dict[str, ReceivedHeartbeat] = {}
        self._quiet: dict[str, ReceivedHeartbeat] = {}
        self._news: dict[str, ReceivedHeartbeat] = {}
        self._lock = Lock()

    def hear(self, beat: Heartbeat, now: datetime) -> bool:
        """Keep the heartbeat of a worker instead of its last one; return whether it has news, to record now.

        One of a former process does not take the place of one of the running process, whose lease would end.
        """
        worker_id = beat.worker_id
        with self._lock:
            last = self._news.get(worker_id) or self._quiet.get(worker_id)
            if last is not None and _sent_before(beat, last.heartbeat.incarnation, last.heartbeat.started_at):
                return False
            received = ReceivedHeartbeat(beat, now)
            has_news = not _same(self._recorded.get(worker_id), beat)
            kept, other = (self._news, self._quiet) if has_news else (self._quiet, self._news)
            if not has_news:
                self._recorded[worker_id] = received
            kept[worker_id] = received
            other.pop(worker_id, None)
        return has_news

    def news(self) -> list[ReceivedHeartbeat]:
        """Return and clear the heartbeats with news, sorted by worker."""
        with self._lock:
            kept, self._news = self._news, {}
        return [beat for _, beat in sorted(kept.items())]

    def give_back(self, beats: Iterable[ReceivedHeartbeat]) -> None:
        """Keep heartbeats with news that could not be recorded, unless their worker was heard again since."""
        with self._lock:
            for beat in beats:
                if beat.heartbeat.worker_id not in self._quiet:
                    self._news.setdefault(beat.heartbeat.worker_id, beat)

    def recorded(self, beats: Iterable[ReceivedHeartbeat]) -> None:
        """Note that these heartbeats are recorded in the database."""
        with self._lock:
            self._recorded |= {beat.heartbeat.worker_id: beat for beat in beats}
            if len(self._recorded) > _KEPT:
                silent_since = max(beat.heard_at for beat in self._recorded.values()) - _SILENT
                self._recorded = {
                    one: beat
                    for one, beat in self._recorded.items()
                    if not beat.heartbeat.stopped and beat.heard_at > silent_since
                }

    def not_recorded(self, beats: Iterable[ReceivedHeartbeat]) -> list[Heartbeat]:
        """Return the heartbeats of incarnations that this scheduler has not recorded last for their worker."""
        with self._lock:
            recorded = self._recorded
            return [
                beat.heartbeat
                for beat in beats
                if (last := recorded.get(beat.heartbeat.worker_id)) is None
                or last.heartbeat.incarnation != beat.heartbeat.incarnation
            ]

    def quiet(self) -> list[ReceivedHeartbeat]:
        """Return and clear the buffered heartbeats without news, sorted by worker."""
        with self._lock:
            kept, self._quiet = self._quiet, {}
        return [beat for _, beat in sorted(kept.items())]

    def still_true(
        self, beats: Sequence[ReceivedHeartbeat], rows: Iterable[Mapping[str, Any]]
    ) -> list[ReceivedHeartbeat]:
        """Return the heartbeats that still agree with their worker's row: same incarnation, and same state or ``lost``.

        Another scheduler may have recorded since that the worker was restarted or is draining. Then the worker's next
        heartbeat counts as news.
        """
        known = {row["worker_id"]: (row["incarnation"], row["state"]) for row in rows}
        true = []
        for beat in beats:
            incarnation, state = known.get(beat.heartbeat.worker_id, ("", ""))
            if incarnation == beat.heartbeat.incarnation and state in {state_of(beat.heartbeat), "lost"}:
                true.append(beat)
                continue
            with self._lock:
                self._recorded.pop(beat.heartbeat.worker_id, None)
        return true


def state_of(beat: Heartbeat) -> WorkerState:
    """Return the worker state that a heartbeat reports."""
    return "stopped" if beat.stopped else "draining" if beat.draining else "live"


def of_former_process(beat: Heartbeat, row: Mapping[str, Any] | None, now: datetime) -> bool:
    """Whether a heartbeat was sent before the process in its worker's ``row`` began, which still has its lease.

    It is late, or a replay. If it was sent after the clock of a restarted worker was set back, a later one counts, when
    the lease of the former process is over.
    """
    return (
        row is not None
        and _sent_before(beat, row["incarnation"], row["started_at"])
        and row["state"] in {"live", "draining"}
        and row["lease_until"] >= now
    )


def _sent_before(beat: Heartbeat, incarnation: str, started_at: datetime) -> bool:
    """Whether another process than this one sent a heartbeat, before this one began."""
    return beat.incarnation != incarnation and beat.at < started_at


def _same(one: ReceivedHeartbeat | None, other: Heartbeat) -> bool:
    return one is not None and one.heartbeat.model_copy(update={"at": other.at}) == other
