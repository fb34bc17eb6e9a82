"""How long a command that follows a run goes on without a gateway."""

import time
from collections.abc import Callable

from services.cli.errors import GatewayUnreachable
from services.cli.output.terminal import say

__all__ = ["Patience"]

_LONGEST_S = 600.0


class Patience:
    """Tells of each interruption once, on stderr, and ends one that lasts longer than ``longest_s`` seconds."""

    def __init__(self, longest_s: float = _LONGEST_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._longest_s = longest_s
        self._clock = clock
        self._lost_at: float | None = None

    def lost(self, error: GatewayUnreachable) -> None:
        """Note that the gateway is away. Raises ``error`` if it has been for too long."""
        if self._lost_at is None:
            self._lost_at = self._clock()
            say(f"connection lost, trying again: {error.what}")
        elif self._clock() - self._lost_at > self._longest_s:
            raise error

    def found(self) -> None:
        """Note that the gateway has answered."""
        self._lost_at = None
