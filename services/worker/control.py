"""Handle control messages from schedulers.

They grant or stop an attempt, open a broker queue to consume, ask to send the span of an ended run, name runs whose
files are needed no longer, or drain the worker.
"""

import logging
from collections.abc import Callable

from services.worker.attempt.grants import Grants
from services.worker.attempt.registry import AttemptRegistry
from services.worker.attempt.spans import AttemptSpans
from services.worker.process.stop_request import StopKind
from services.worker.run_files import RunFiles
from shared.contracts.codec import decode
from shared.contracts.control import (
    AttemptGranted,
    DrainOrder,
    RootRunsEnded,
    RunTraced,
    StopAttempt,
    TaskQueueOpened,
)
from shared.errors import DecodeFailed

__all__ = ["ControlListener"]

_log = logging.getLogger(__name__)


class ControlListener:
    """Handles control messages. Never blocks, since the transport calls it on its own thread.

    A stop for an unknown attempt is remembered: the task may arrive after the stop.
    """

    def __init__(
        self,
        incarnation: str,
        attempts: AttemptRegistry,
        grants: Grants,
        consume_selector: Callable[[dict[str, str]], None],
        spans: AttemptSpans,
        *,
        run_files: RunFiles,
        drain: Callable[[bool], None],
    ) -> None:
        self._incarnation = incarnation
        self._attempts = attempts
        self._grants = grants
        self._consume_selector = consume_selector
        self._spans = spans
        self._run_files = run_files
        self._drain = drain

    def on_message(self, topic: str, body: bytes) -> None:
        """Handle one message. A message that cannot be decoded is logged and dropped."""
        try:
            envelope = decode(body)
        except DecodeFailed as error:
            _log.warning("control.unreadable", extra={"topic": topic, "error": str(error)})
            return
        message = envelope.body
        if isinstance(message, StopAttempt | AttemptGranted) and message.incarnation not in {"", self._incarnation}:
            _log.info("control.for_another", extra={"token": message.token, "incarnation": message.incarnation})
        elif isinstance(message, AttemptGranted):
            self._grants.granted(message.token)
        elif isinstance(message, StopAttempt):
            kind = StopKind.REVOKED if message.revoked else StopKind.STOP
            here = self._attempts.stop(message.token, kind)
            _log.info("attempt.stop_heard", extra={"token": message.token, "kind": str(kind), "here": here})
        elif isinstance(message, TaskQueueOpened):
            self._consume_selector(message.selector)
        elif isinstance(message, RunTraced):
            self._spans.run_over(message, envelope.trace)
        elif isinstance(message, RootRunsEnded):
            self._run_files.ended(message.runs, message.failed)
        elif isinstance(message, DrainOrder):
            self._drain(message.drained)
