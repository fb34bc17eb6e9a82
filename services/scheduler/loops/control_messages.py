"""Words to everyone: workers told to end attempts or to listen, gateways that runs changed.

Any of them may be lost: the next heartbeat or the next look says it again.
"""

from collections.abc import Callable
from datetime import datetime

from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.traces import publish
from shared.contracts.codec import encode
from shared.contracts.control import CHANGES, RunsChanged, StopAttempt, TaskQueueOpened
from shared.ids import new_run_id
from shared.transport.base import Transport

__all__ = ["ControlBroadcaster"]

_MOST_NAMED = 100
"""Runs in one ``RunsChanged``."""


class ControlBroadcaster:
    """Broadcasts what a committed transaction has to say."""

    def __init__(self, transport: Transport, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._clock = clock

    def follow(self, after: PostCommit) -> None:
        for halt in after.halts:
            topic = "workers" if halt.worker_id is None else f"worker.{halt.worker_id}"
            self._tell(topic, StopAttempt(token=halt.token, revoked=halt.revoked, reason=halt.reason))
        for selector in sorted(after.selectors):
            self._tell("workers", TaskQueueOpened(selector=dict(selector)))
        if after.changed:
            named = sorted(after.changed) if len(after.changed) <= _MOST_NAMED else []
            self._tell(CHANGES, RunsChanged(run_keys=named))

    def trace(self, after: PostCommit) -> None:
        """Send the spans, last of all that follows: nobody waits for them."""
        publish(after.traced, self._transport.broadcast, after.at)

    def _tell(self, topic: str, message: StopAttempt | TaskQueueOpened | RunsChanged) -> None:
        self._transport.broadcast(topic, encode(message, id=new_run_id(), at=self._clock()))
