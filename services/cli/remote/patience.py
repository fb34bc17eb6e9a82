"""How long a command that follows a run goes on without a gateway, or without what the gateway needs."""

import time
from collections.abc import Callable
from typing import TypeVar

from services.cli.errors import GatewayError, GatewayUnreachable
from services.cli.output.terminal import say

__all__ = ["Patience"]

T = TypeVar("T")
_LONGEST_S = 600.0
_PAUSE_S = 1.0


class Patience:
    """Tells of each interruption once, on stderr, and ends one that lasts longer than ``longest_s`` seconds."""

    def __init__(self, longest_s: float = _LONGEST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._lost_at: float | None = None

    def lost(self, error: GatewayError) -> None:
        """Note that the gateway, or what it needs, is away.

        Raises ``error`` if it has been for too long, or is of another kind.
        """
        if not error.passes:
            raise error
        if self._lost_at is None:
            self._lost_at = self._clock()
            what = error.what if isinstance(error, GatewayUnreachable) else error
            say(f"connection lost, trying again: {what}")
        elif self._clock() - self._lost_at > self._longest_s:
            raise error

    def found(self) -> None:
        """Note that the gateway has answered."""
        self._lost_at = None

    def insist(self, ask: Callable[[], T], pause: Callable[[float], None] = time.sleep) -> T:
        """Return what ``ask`` returns, asking again while the gateway is away."""
        while True:
            try:
                answer = ask()
            except GatewayError as error:
                self.lost(error)
                pause(_PAUSE_S)
            else:
                self.found()
                return answer
