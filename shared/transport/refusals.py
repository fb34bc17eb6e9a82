"""Counts refused and unsigned messages, and logs them once in a while: a flood of them must not fill the log."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable

from shared.errors import Refusal, SignatureRefused

__all__ = ["SignatureCounts"]

_log = logging.getLogger(__name__)
_LOG_EVERY_S = 10.0


class SignatureCounts:
    """Counts since the process started. Thread-safe. Logs ids and reasons, never bodies.

    The counts of ``queues`` begin at 0, because Prometheus does not see the first increase of a series that is new.
    """

    def __init__(self, queues: Iterable[str]) -> None:
        known = sorted(set(queues))
        self._lock = threading.Lock()
        self._refused = Counter({(queue, str(why)): 0 for queue in known for why in Refusal})
        self._unsigned = Counter(dict.fromkeys(known, 0))
        self._logged: dict[tuple[str, str], float] = {}

    def refused(self, queue: str, message_id: str, error: SignatureRefused) -> None:
        """Count a refused message."""
        why = str(error.why)
        with self._lock:
            self._refused[queue, why] += 1
        if self._may_log(queue, why):
            _log.error("message.refused", extra={"queue_kind": queue, "id": message_id[:100], "error": str(error)})

    def unsigned(self, queue: str) -> None:
        """Count an accepted message without a signature."""
        with self._lock:
            self._unsigned[queue] += 1
        if self._may_log(queue, "accepted"):
            _log.warning("message.unsigned", extra={"queue_kind": queue, "next": "set DAGWAY_MESSAGE_SIGNING=on"})

    def snapshot(self) -> tuple[dict[tuple[str, str], int], dict[str, int]]:
        """Return how many messages were refused, by queue and reason, and how many unsigned ones accepted, by queue."""
        with self._lock:
            return dict(self._refused), dict(self._unsigned)

    def _may_log(self, queue: str, what: str) -> bool:
        now = time.monotonic()
        with self._lock:
            if now - self._logged.get((queue, what), -_LOG_EVERY_S) < _LOG_EVERY_S:
                return False
            self._logged[queue, what] = now
            return True
