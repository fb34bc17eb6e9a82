"""Attempts that their worker is there to hold, and does not.

A worker names every attempt it runs or has yet to report on. One that it leaves out although the
database says it runs there was given up before its start was known (the confirm got lost), and
nobody would ever report on it. The report may also be on its way, so only an absence that lasted a
whole lease counts, and only up to the moment at which the event route was last seen empty. It lasted
from one heartbeat to another: the first may have been sent before the attempt began, and those that
name it since may all have gone to another scheduler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from shared.contracts.events import Heartbeat
from shared.status import AttemptState

__all__ = ["MissingAttempt", "MissingAttempts"]


@dataclass(frozen=True, slots=True)
class MissingAttempt:
    """An attempt its holder no longer names. ``first`` and ``latest``: when heartbeats that left it out were sent."""

    run_key: str
    node: int
    token: str
    worker_id: str
    since: datetime
    """When the first of them was heard."""
    first: datetime
    latest: datetime


class MissingAttempts:
    """What this scheduler heard, kept in memory: another scheduler hears other heartbeats."""

    def __init__(self) -> None:
        self._absent: dict[str, MissingAttempt] = {}
        self._lock = Lock()

    def hear(self, held: Sequence[Mapping[str, Any]], newest: Mapping[str, Heartbeat], now: datetime) -> None:
        """Compare the open attempts of some workers with what their heartbeats name."""
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
                        replace(known, latest=beat.at)
                        if known is not None
                        else MissingAttempt(row["run_key"], row["idx"], token, beat.worker_id, now, beat.at, beat.at)
                    )
            # Named again, or no longer open.
            for token, absent in list(self._absent.items()):
                if absent.worker_id in newest and token not in seen:
                    del self._absent[token]

    def lasting(self, lease: timedelta, until: datetime) -> list[MissingAttempt]:
        """Return the attempts that have been absent for ``lease`` or longer at the moment ``until``."""
        with self._lock:
            return [
                absent
                for absent in self._absent.values()
                if absent.since <= until - lease and absent.latest - absent.first >= lease
            ]
