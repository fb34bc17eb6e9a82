"""Buffers heartbeats without news: they renew their leases together, in the next pass of ``Leases``.

A heartbeat has no news if it differs only in time from the one that this scheduler recorded last of the
same worker. So an idle system writes no transaction per heartbeat, however many workers it has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any

from shared.contracts.events import Heartbeat

__all__ = ["HeartbeatBuffer", "ReceivedHeartbeat", "state_of"]


@dataclass(frozen=True, slots=True)
class ReceivedHeartbeat:
    """A heartbeat and when this scheduler received it: the lease counts from then."""

    heartbeat: Heartbeat
    heard_at: datetime


class HeartbeatBuffer:
    """The last heartbeat that this scheduler received of each worker, in memory."""

    def __init__(self) -> None:
        self._recorded: dict[str, Heartbeat] = {}
        self._quiet: dict[str, ReceivedHeartbeat] = {}
        self._lock = Lock()

    def hear(self, beats: Iterable[Heartbeat], now: datetime) -> list[ReceivedHeartbeat]:
        """Return the newest of each worker that has news, to be recorded now; keep the others."""
        newest = {beat.worker_id: ReceivedHeartbeat(beat, now) for beat in sorted(beats, key=lambda beat: beat.at)}
        news = []
        with self._lock:
            for worker_id, beat in sorted(newest.items()):
                if _same(self._recorded.get(worker_id), beat.heartbeat):
                    self._quiet[worker_id] = beat
                else:
                    self._quiet.pop(worker_id, None)
                    news.append(beat)
        return news

    def recorded(self, beats: Iterable[ReceivedHeartbeat]) -> None:
        """Note that these are in the database."""
        with self._lock:
            self._recorded |= {beat.heartbeat.worker_id: beat.heartbeat for beat in beats}

    def not_recorded(self, beats: Iterable[ReceivedHeartbeat]) -> list[Heartbeat]:
        """Return those whose incarnation is not the one that this scheduler recorded last of their worker."""
        with self._lock:
            recorded = self._recorded
            return [
                beat.heartbeat
                for beat in beats
                if (last := recorded.get(beat.heartbeat.worker_id)) is None
                or last.incarnation != beat.heartbeat.incarnation
            ]

    def quiet(self) -> list[ReceivedHeartbeat]:
        """Return those kept since the last call, by worker."""
        with self._lock:
            kept, self._quiet = self._quiet, {}
        return [beat for _, beat in sorted(kept.items())]

    def still_true(
        self, beats: Sequence[ReceivedHeartbeat], rows: Iterable[Mapping[str, Any]]
    ) -> list[ReceivedHeartbeat]:
        """Return those whose worker's row in the database is as this scheduler last recorded it.

        Another scheduler may have received more since: that the worker restarted or is draining. Then
        the worker's next heartbeat counts as news.
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


def state_of(beat: Heartbeat) -> str:
    """Return the state of a worker by its heartbeat."""
    return "stopped" if beat.stopped else "draining" if beat.draining else "live"


def _same(one: Heartbeat | None, other: Heartbeat) -> bool:
    return one is not None and one.model_copy(update={"at": other.at}) == other
