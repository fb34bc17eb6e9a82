"""Finds attempts that the database assigns to a live worker, but that the worker's heartbeats do not list.

A heartbeat lists every attempt that the worker runs or still has to report on. If it does not list an attempt that
runs there according to the database, the worker gave the attempt up, because the confirm of the report of its start was
lost. Then no report will come. But the report of the attempt's end may also be on its way. So an attempt counts as
missing only after a whole lease, and only up to the time up to which all reports are recorded. The lease is measured
between two heartbeats that do not list the attempt: the first may have been sent before the attempt started, and
heartbeats that list it since may all have gone to another scheduler.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from shared.contracts.events import Heartbeat
from shared.status import AttemptState

__all__ = ["MissingAttempt", "MissingAttempts"]


@dataclass(frozen=True, slots=True)
class MissingAttempt:
    """An attempt that its worker's heartbeats do not list.

    ``first`` and ``latest``: when the first and the latest heartbeat without the attempt were sent.
    """

    run_key: str
    node: int
    token: str
    worker_id: str
    since: datetime
    """When this scheduler received the first heartbeat without the attempt."""
    first: datetime
    latest: datetime


class MissingAttempts:
    """The missing attempts in the heartbeats that this scheduler received, in memory.

    Other schedulers receive other heartbeats.
    """

    def __init__(self) -> None:
        self._absent: dict[str, MissingAttempt] = {}
        self._lock = Lock()

    def hear(self, held: Sequence[Mapping[str, Any]], newest: Mapping[str, Heartbeat], now: datetime) -> None:
        """Compare the open attempts of some workers with the attempts that their newest heartbeats list."""
        with self._lock:
            seen = set()
            for row in held:
                beat = newest[row["token_worker"]]
                token: str = row["token"]
                if (
                    row["token_state"] == AttemptState.RUNNING
                    and row["token_incarnation"] == beat.incarnation
                    and token not in beat.tokens
                ):
                    seen.add(token)
                    known = self._absent.get(token)
                    self._absent[token] = (
                        replace(known, since=min(known.since, now), latest=beat.at)
                        if known is not None
                        else MissingAttempt(row["run_key"], row["idx"], token, beat.worker_id, now, beat.at, beat.at)
                    )
            # These attempts are listed again, or not open any more.
            for token, absent in list(self._absent.items()):
                if absent.worker_id in newest and token not in seen:
                    del self._absent[token]

    def lasting(self, lease: timedelta, until: datetime) -> list[MissingAttempt]:
        """Return the attempts that were missing for at least ``lease`` at ``until``: earlier reports are recorded."""
        with self._lock:
            return [
                absent
                for absent in self._absent.values()
                if absent.since + lease <= until and absent.latest - absent.first >= lease
            ]

    def forget(self, tokens: Iterable[str]) -> None:
        """Forget attempts that are closed now: their worker may be gone, and never be heard again."""
        with self._lock:
            for token in tokens:
                self._absent.pop(token, None)
