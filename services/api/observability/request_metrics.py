"""What a gateway counts about its own requests and the commands it sent.

Labels come from the table of operations, never from what a client sends, so the number of series is
bounded by the API. The counters are this process's: sum them over gateways.
"""

import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING

from flask import Request, Response
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import Metric

from services.api.observability.dagu_metrics import families
from shared.errors import StoreUnavailable
from shared.metrics import LATENCY_S

if TYPE_CHECKING:
    from services.api.deps import Deps

__all__ = ["PROBE_OPERATIONS", "DaguCollector", "begin", "end", "over"]

_BEGAN = "dagway.began_s"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_log = logging.getLogger(__name__)

REQUESTS = Counter(
    "dagway_gateway_requests", "Requests answered, by operation and class of status", ["operation", "code"]
)
SECONDS = Histogram(
    "dagway_gateway_request_seconds",
    "From a request to its answer's first byte: reads, and writes, which wait for a scheduler",
    ["kind"],
    buckets=LATENCY_S,
)
UNDER_WAY = Gauge("dagway_gateway_requests_under_way", "Requests being answered, streams until they are open")

_seconds = {kind: SECONDS.labels(kind) for kind in ("read", "write")}


@cache
def _requests(operation: str, code: str) -> Counter:
    return REQUESTS.labels(operation, code)


def begin(request: Request) -> None:
    """Count a request that begins."""
    request.environ[_BEGAN] = time.monotonic()
    UNDER_WAY.inc()


def end(request: Request, response: Response) -> None:
    """Count an answer and its duration, except for probes and metrics."""
    operation = request.endpoint or "none"
    if operation in PROBE_OPERATIONS:
        return
    _requests(operation, f"{response.status_code // 100}xx").inc()
    kind = "read" if request.method in _READING else "write"
    if kind == "write":
        _log.info("request.answered", extra={"operation": operation, "status": response.status_code})
    began_s = request.environ.get(_BEGAN)
    if began_s is not None:
        _seconds[kind].observe(time.monotonic() - began_s)


def over(request: Request) -> None:
    """Count a request that is over, answered or not."""
    if request.environ.pop(_BEGAN, None) is not None:
        UNDER_WAY.dec()


PROBE_OPERATIONS = frozenset({"GET /healthz", "GET /readyz", "GET /metrics", "GET /health"})
"""Operations that machines call every few seconds; they are neither counted nor logged."""


class DaguCollector:
    """The ``dagu_*`` series for the admin server, where a scrape needs no token of the API."""

    def __init__(self, deps: "Deps") -> None:
        self._deps = deps

    def collect(self) -> Iterable[Metric]:
        try:
            return families(self._deps, self._deps.clock())
        except StoreUnavailable:
            # The process's own counters must stay readable while the database is away.
            return []
