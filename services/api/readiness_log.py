"""Logs when a gateway becomes ready, and why it is not. Probes come every few seconds, so only changes are logged."""

import logging
from threading import Lock

__all__ = ["ReadinessLog"]

_log = logging.getLogger(__name__)


class ReadinessLog:
    """Remembers what the last probe found."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: str | None = None

    def note(self, why: str) -> None:
        """Log why the gateway is not ready, or with an empty text that it is; not again what the last probe found."""
        with self._lock:
            changed, self._last = why != self._last, why
        if changed and why:
            _log.warning("api.not_ready", extra={"error": why})
        elif changed:
            _log.info("api.ready")
