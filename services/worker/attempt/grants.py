"""Ask schedulers whether this worker may begin an attempt, and wait for the answer."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum

from services.worker.process.stop_request import StopKind, StopRequest
from services.worker.reporting.reports import Reporter
from shared.contracts.events import AttemptRequested
from shared.errors import BrokerUnavailable, PublishUnconfirmed
from shared.transport.base import BrokerQueue

__all__ = ["Answer", "Grants"]

_log = logging.getLogger(__name__)
_PAUSES_S = (1.0,) * 6
"""The pauses between the first requests. About a task that was delivered before, schedulers know enough in 2 to 5 s."""
_LATER_PAUSE_S = 4.0
_ASK_FOR_S = 30.0
"""How long a worker asks: longer than a restart of the broker or of the schedulers takes."""
_ASK_FOR_REDELIVERED_S = 600.0
"""How long it asks about a task that was delivered before.

A scheduler cannot replace such an attempt only because one worker gave it up: another may have begun it. So the worker
that has the task holds on to it, whatever keeps the schedulers from answering.
"""


class Answer(Enum):
    """How a request ended."""

    GRANTED = "granted"
    REFUSED = "refused"
    NONE = "none"
    """No answer came. A scheduler may have granted the attempt all the same."""
    UNASKED = "unasked"
    """No request reached the broker, so no scheduler can have granted the attempt."""


@dataclass(slots=True)
class _Waiting:
    woken: threading.Event = field(default_factory=threading.Event)
    granted: bool = False


class Grants:
    """The attempts that this worker asks for. Thread-safe."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._waiting: dict[str, _Waiting] = {}

    def granted(self, token: str) -> None:
        """Note that a scheduler granted an attempt. Never blocks. Does nothing if the worker does not ask any more."""
        waiting = self._waiting.get(token)
        if waiting is not None:
            waiting.granted = True
            waiting.woken.set()

    def ask(
        self,
        token: str,
        stop: StopRequest,
        request: Callable[[float], AttemptRequested],
        to: BrokerQueue,
        *,
        redelivered: bool = False,
    ) -> Answer:
        """Ask until an answer comes, the attempt is stopped or the time is up.

        ``request`` makes the event from the seconds since the first request; it is sent to the queue ``to``.
        ``redelivered``: the task was delivered before.
        """
        waiting = self._waiting[token] = _Waiting()
        stop.listen(waiting.woken.set)
        try:
            for_s = _ASK_FOR_REDELIVERED_S if redelivered else _ASK_FOR_S
            return self._ask(waiting, stop, lambda waited_s: self._reporter.send(request(waited_s), to), for_s)
        finally:
            del self._waiting[token]
            stop.unlisten(waiting.woken.set)

    def _ask(
        self, waiting: _Waiting, stop: StopRequest, send: Callable[[float], "Future[None]"], for_s: float
    ) -> Answer:
        began = time.monotonic()
        sent: list[Future[None]] = []
        while (waited_s := time.monotonic() - began) < for_s:
            sent.append(send(waited_s))
            pause_s = _PAUSES_S[len(sent) - 1] if len(sent) <= len(_PAUSES_S) else _LATER_PAUSE_S
            waiting.woken.wait(min(pause_s, for_s - waited_s))
            if stop.kind is StopKind.REVOKED:
                return Answer.REFUSED
            if waiting.granted and stop.kind is None:
                return Answer.GRANTED
            if stop.kind is not None:
                break
        return Answer.NONE if any(map(_perhaps_heard, sent)) else Answer.UNASKED


def _perhaps_heard(sent: "Future[None]") -> bool:
    if not sent.done():
        return True
    error = sent.exception()
    return not isinstance(error, BrokerUnavailable) or isinstance(error, PublishUnconfirmed)
