"""Broadcasts control messages to workers: orders and grants.

They tell workers which attempts to begin or stop, which broker queues to consume from, and whether they are drained. A
control message may be lost. Then the next heartbeat, the next request or the next pass of a loop sends it again.
"""

from collections.abc import Callable
from datetime import datetime

from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.traces import publish
from shared.contracts.codec import encode
from shared.contracts.control import (
    WORKERS,
    AttemptGranted,
    DrainOrder,
    StopAttempt,
    TaskQueueOpened,
    worker_topic,
)
from shared.ids import new_run_id
from shared.transport.base import Transport

__all__ = ["ControlBroadcaster"]


class ControlBroadcaster:
    """Broadcasts the control messages of a committed transaction."""

    def __init__(self, transport: Transport, clock: Callable[[], datetime]) -> None:
        self._transport = transport
        self._clock = clock

    def follow(self, after: PostCommit) -> None:
        for halt in after.halts:
            topic = WORKERS if halt.worker_id is None else worker_topic(halt.worker_id)
            order = StopAttempt(
                token=halt.token, revoked=halt.revoked, reason=halt.reason, incarnation=halt.incarnation
            )
            self._broadcast(topic, order)
        for grant in after.grants:
            granted = AttemptGranted(token=grant.token, incarnation=grant.incarnation)
            self._broadcast(worker_topic(grant.worker_id), granted)
        for selector in sorted(after.selectors):
            self._broadcast(WORKERS, TaskQueueOpened(selector=dict(selector)))
        for worker_id, drained in sorted(after.drain_orders.items()):
            self._broadcast(worker_topic(worker_id), DrainOrder(drained=drained))

    def trace(self, after: PostCommit) -> None:
        """Send the spans of the transaction. Called last, because nothing waits for spans."""
        publish(after.traced, self._transport.broadcast, after.at)

    def _broadcast(self, topic: str, message: StopAttempt | AttemptGranted | TaskQueueOpened | DrainOrder) -> None:
        self._transport.broadcast(topic, encode(message, id=new_run_id(), at=self._clock()))
