"""Hear what schedulers tell workers beside tasks: stop an attempt, a route has opened, a run is over."""

import logging
from collections.abc import Callable

from services.worker.attempt.held import Attempts
from services.worker.attempt.spans import AttemptSpans
from services.worker.process.outcome import StopKind
from shared.contracts.codec import decode
from shared.contracts.control import RunTraced, StopAttempt, TaskQueueOpened
from shared.errors import DecodeFailed

__all__ = ["Control", "topics"]

_log = logging.getLogger(__name__)


def topics(worker_id: str) -> tuple[str, str]:
    """Return what a worker listens to: its own topic and that of all workers."""
    return f"worker.{worker_id}", "workers"


class Control:
    """Acts on control messages; called by the transport, so it never blocks.

    A stop for an attempt that is not here is remembered: its task may still be under way.
    """

    def __init__(self, attempts: Attempts, open_route: Callable[[dict[str, str]], None], spans: AttemptSpans) -> None:
        self._attempts = attempts
        self._open_route = open_route
        self._spans = spans

    def hear(self, topic: str, body: bytes) -> None:
        """Take one message; one that cannot be read is logged, since nobody could send it again."""
        try:
            envelope = decode(body)
        except DecodeFailed as error:
            _log.warning("control.unreadable", extra={"topic": topic, "error": str(error)})
            return
        message = envelope.body
        if isinstance(message, StopAttempt):
            kind = StopKind.REVOKED if message.revoked else StopKind.STOP
            here = self._attempts.stop(message.token, kind)
            _log.info("attempt.stop_heard", extra={"token": message.token, "kind": str(kind), "here": here})
        elif isinstance(message, TaskQueueOpened):
            self._open_route(message.selector)
        elif isinstance(message, RunTraced):
            self._spans.run_over(message, envelope.trace)
