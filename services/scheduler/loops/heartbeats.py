"""Heartbeats that say nothing new: they renew their leases together, with the next look.

Only time has passed since the same scheduler recorded the same words of the same worker. So an idle
system writes no transaction per heartbeat, however many workers it has.
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
    """A heartbeat, and when this scheduler heard it: from then on its lease counts."""

    heartbeat: Heartbeat
    heard_at: datetime


class HeartbeatBuffer:
    """What this scheduler heard last of each worker, kept in memory."""

    def __init__(self) -> None:
        self._recorded: dict[str, Heartbeat] = {}
        self._quiet: dict[str, ReceivedHeartbeat] = {}
        self._lock = Lock()

    def hear(self, beats: Iterable[Heartbeat], now: datetime) -> list[ReceivedHeartbeat]:
        """Return the newest of each worker that has news, to be recorded now; the others are kept."""
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
        """These are in the database."""
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
        """Return those kept since this was last asked, by worker."""
        with self._lock:
            kept, self._quiet = self._quiet, {}
        return [beat for _, beat in sorted(kept.items())]

    def still_true(
        self, beats: Sequence[ReceivedHeartbeat], rows: Iterable[Mapping[str, Any]]
    ) -> list[ReceivedHeartbeat]:
        """Return those whose worker the database knows as this scheduler does; ``rows`` are its.

        Another scheduler may have heard more since: that the worker began anew, or is about to leave.
        What a worker says next is recorded as news then.
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
    """Return what a worker calls its own state."""
    return "stopped" if beat.stopped else "draining" if beat.draining else "live"


def _same(one: Heartbeat | None, other: Heartbeat) -> bool:
    return one is not None and one.model_copy(update={"at": other.at}) == other
