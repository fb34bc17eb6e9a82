"""Wakes requests that follow runs: event streams, and requests that wait for the end of a run.

Followers read the changes from the database. They query when a scheduler publishes that runs have changed, and they
also poll: a notification may be lost, or may arrive while an older open transaction still hides the newest changes.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from services.api.fair_places import FairPlaces
from services.api.problems import Problem
from shared.contracts.codec import decode_as
from shared.contracts.control import CHANGES, RunsChanged
from shared.errors import DecodeFailed
from shared.transport.base import Transport
from shared.workspaces import DEFAULT

__all__ = ["Follower", "Followers"]

_log = logging.getLogger(__name__)

_POLL_S = 2.0
"""The polling interval: how long a lost notification can delay a follower."""
_LOOKS_PER_S = 16
"""How often all who wait for an end look together, without notifications. A look takes a gateway 0.4 ms."""
_GATHER_S = 0.02
"""How long a follower of all runs waits after a notification, so that one query covers several."""
_SETTLE_S = (0.05, 0.2, 0.75)
"""Intervals of further queries after a notification to followers of all runs: older transactions may hide changes."""
_LISTEN_S = 0.25
"""How long the first follower waits for a slow broker to begin with notifications; until then, followers only poll."""


class Follower:
    """One follower. Counts against the limit of followers until ``close``."""

    def __init__(
        self,
        followers: "Followers",
        poll_s: float,
        run_key: str | None,
        *,
        only_end: bool,
        workspace: str,
        without_place: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._followers = followers
        self.workspace = workspace
        """The workspace of the request that follows."""
        self._poll_s = poll_s
        self._woken = threading.Event()
        self._settle: list[float] = []
        self.run_key = run_key
        """The run to follow, or ``None`` for all runs."""
        self._only_end = only_end
        self._without_place = without_place

    def hear(self, changed: RunsChanged) -> None:
        """Make ``wait`` return, if the notification is about what this follower follows."""
        keys = changed.run_keys
        if self._only_end and keys and changed.ended is not None:
            keys = changed.ended
            if not keys:
                return
        if not keys or self.run_key is None or self.run_key in keys:
            self._woken.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there may be changes, ``timeout_s`` at most. Return whether there was a notification.

        If a notification arrives between two calls, the second call returns immediately, because the query between
        them may have missed the change.
        """
        poll_s = self._settle.pop(0) if self._settle else self._poll_s
        with self._without_place():
            woken = self._woken.wait(min(timeout_s, poll_s))
        if woken:
            if self.run_key is None:
                time.sleep(_GATHER_S)
                self._settle = list(_SETTLE_S)
            self._woken.clear()
        return woken

    def close(self) -> None:
        """Stop following."""
        self._followers.remove(self)


class Followers:
    """All followers. Wakes them when runs change. There are at most ``limit`` at a time, shared as ``FairPlaces`` says.

    ``shared`` returns whether there are other workspaces than the default one.
    """

    def __init__(
        self,
        transport: Transport,
        limit: int,
        *,
        shared: Callable[[], bool] = lambda: False,
        poll_s: float = _POLL_S,
    ) -> None:
        self._transport = transport
        self._places = FairPlaces(limit, shared)
        self._poll_s = poll_s
        self._lock = threading.Lock()
        self._all: set[Follower] = set()
        self._listening = False
        self._random = random.Random()  # noqa: S311 - no secret

    def add(
        self,
        run_key: str | None = None,
        *,
        only_end: bool = False,
        workspace: str = DEFAULT,
        without_place: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Follower:
        """Return a new follower of one run, or of all runs; with ``only_end``, of nothing but their end.

        While it waits, it is in the context ``without_place``: there a request gives back what others need meanwhile.

        Raises a 503 if there is no place for it: the server or the workspace has reached its limit.
        """
        if not self._places.take(workspace):
            raise Problem(
                503,
                "service_unavailable",
                "Too many event streams are open, or too many requests wait for the end of a run, on this server or in "
                "this workspace. Try again soon.",
                headers={"Retry-After": "5"},
            )
        follower = Follower(
            self, self._poll_s, run_key, only_end=only_end, workspace=workspace, without_place=without_place
        )
        with self._lock:
            self._all.add(follower)
            begin, self._listening = not self._listening, True
        if begin:
            listening = threading.Thread(target=self._listen, name="follower-listen", daemon=True)
            listening.start()
            listening.join(_LISTEN_S)
        return follower

    def look_again_s(self) -> float:
        """Return after how many seconds one who waits for an end should look without a notification.

        The more followers there are, the later, so that those who wait do not delay others: together they look
        ``_LOOKS_PER_S`` times a second. At random, as clients that came together would look together.
        """
        return max(self._poll_s, len(self._all) / _LOOKS_PER_S * self._random.uniform(0.5, 1.5))

    def _listen(self) -> None:
        self._transport.listen([CHANGES], self._on_change)

    def remove(self, follower: Follower) -> None:
        """Remove a follower, if it was not removed before."""
        with self._lock:
            known = follower in self._all
            self._all.discard(follower)
        if known:
            self._places.give_back(follower.workspace)

    def _on_change(self, _topic: str, body: bytes) -> None:
        try:
            changed = decode_as(body, RunsChanged)
        except DecodeFailed as error:
            _log.warning("changes.unreadable", extra={"error": str(error)})
            changed = RunsChanged()
        with self._lock:
            for follower in self._all:
                follower.hear(changed)
