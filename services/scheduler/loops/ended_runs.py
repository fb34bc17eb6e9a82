"""Tells workers which runs ended, so that they remove the files of these runs.

The runs of some seconds share a message, because nobody waits for it. If it is lost, a worker keeps the files until
they are old.
"""

from collections import deque
from collections.abc import Callable
from datetime import datetime
from threading import Event as StopEvent

from services.scheduler.deciding.post_commit import EndedRun, PostCommit
from shared.contracts.codec import encode
from shared.contracts.control import WORKERS, RootRunsEnded
from shared.ids import new_run_id
from shared.transport.base import Transport

__all__ = ["EndBroadcaster"]

_EVERY_S = 5.0
_MOST_NAMED = 1_000


class EndBroadcaster:
    """Collects the root runs that committed transactions ended, and broadcasts their names."""

    def __init__(self, transport: Transport, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._clock = clock
        self._runs: deque[EndedRun] = deque()

    def follow(self, after: PostCommit) -> None:
        self._runs.extend(run for run in after.ended if run.is_root)

    def run(self, stop: StopEvent) -> None:
        """Send what was collected, every few seconds until ``stop`` is set, and then once more."""
        while not stop.wait(_EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        while self._runs:
            runs = [self._runs.popleft() for _ in range(min(len(self._runs), _MOST_NAMED))]
            message = RootRunsEnded(
                runs=[(run.dag_name, run.dag_run_id) for run in runs if run.status.successful],
                failed=[(run.dag_name, run.dag_run_id) for run in runs if not run.status.successful],
            )
            self._transport.broadcast(WORKERS, encode(message, id=new_run_id(), at=self._clock()))
