"""Metrics of the requests that this gateway answers.

Labels are operations of the API, never text from a client, so the number of series is bounded. Each gateway counts
its own requests: sum over gateways.
"""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from flask import Request, Response
from flask import request as current_request
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import Metric

from services.api.auth.webhook_signatures import WebhookRefusal
from services.api.observability.dagu_metrics import families
from services.api.requests.client_address import address_of
from shared.metrics import LATENCY_S, PHASE_S
from shared.store.scraped import Scraped

if TYPE_CHECKING:
    from services.api.deps import Deps

__all__ = [
    "AUDIT_DROPPED",
    "PROBE_OPERATIONS",
    "READING",
    "WEBHOOK_REFUSALS",
    "DaguCollector",
    "accepted",
    "already_logged",
    "begin",
    "decided",
    "end",
    "over",
]

_BEGAN = "dagway.began_s"
_DECIDED = "dagway.decided_s"
_LOGGED = "dagway.answer_logged"
READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that change nothing."""
_REFUSED = frozenset({401, 403, 429})
_WAIT_S = 3.0
"""How long the ``dagu_*`` series may keep a scrape waiting."""
_log = logging.getLogger(__name__)

REQUESTS = Counter(
    "dagway_gateway_requests", "Requests answered, by operation and class of status", ["operation", "code"]
)
SECONDS = Histogram(
    "dagway_gateway_request_seconds",
    "Time from a request to the first byte of its response; writes include waiting for a scheduler",
    ["kind"],
    buckets=LATENCY_S,
)
IN_FLIGHT = Gauge(
    "dagway_gateway_requests_in_flight", "Requests being answered; an event stream counts until it is open"
)

AUDIT_DROPPED = Counter(
    "dagway_gateway_audit_dropped",
    "Refused requests and logins without an entry in the audit log: there were too many, or no broker",
)

PHASE = Histogram(
    "dagway_gateway_run_phase_seconds",
    "Seconds of the first and last phase of a run: from asked (the request) to accepted (the command is sent), and, "
    "for a start that waits, from decided (the run's end is recorded) to answered. Those between: "
    "dagway_run_phase_seconds",
    ["phase"],
    buckets=PHASE_S,
)
_phases = {name: PHASE.labels(name) for name in ("asked_accepted", "decided_answered")}
WEBHOOK_REFUSALS = Counter(
    "dagway_gateway_webhook_refusals",
    "Requests to webhooks without a valid token (token) or signature (signature), signed too long ago (stale), or "
    "accepted before (replayed)",
    ["reason"],
)
for _refusal in WebhookRefusal:
    WEBHOOK_REFUSALS.labels(_refusal.value)

_seconds = {kind: SECONDS.labels(kind) for kind in ("read", "write")}


@cache
def _requests(operation: str, code: str) -> Counter:
    return REQUESTS.labels(operation, code)


def begin(request: Request) -> None:
    """Record that a request begins."""
    request.environ[_BEGAN] = time.monotonic()
    IN_FLIGHT.inc()


def already_logged(request: Request) -> None:
    """Note that the log says how the request was answered."""
    request.environ[_LOGGED] = True


def end(request: Request, response: Response, *, proxies: int = 0) -> None:
    """Count a response and observe its duration, except for probes and metrics.

    Writes and refused requests are logged, refused ones with the address of the client, ``proxies`` proxies away, but
    not those that are ``already_logged``.
    """
    operation = request.endpoint or "none"
    if operation in PROBE_OPERATIONS:
        return
    _requests(operation, f"{response.status_code // 100}xx").inc()
    kind = "read" if request.method in READING else "write"
    refused = response.status_code in _REFUSED
    if (kind == "write" or refused) and _LOGGED not in request.environ:
        facts: dict[str, str | int] = {"operation": operation, "status": response.status_code}
        if refused:
            facts["client"] = address_of(request, proxies)
        _log.info("request.answered", extra=facts)
    now_s = time.monotonic()
    began_s = request.environ.get(_BEGAN)
    if began_s is not None:
        _seconds[kind].observe(now_s - began_s)
    decided_s = request.environ.get(_DECIDED)
    if decided_s is not None:
        _phases["decided_answered"].observe(now_s - decided_s)


def accepted() -> None:
    """Observe how long the request in hand took until its run's command was sent."""
    _phases["asked_accepted"].observe(time.monotonic() - current_request.environ[_BEGAN])


def decided(since: timedelta) -> None:
    """Note that the request in hand is answered with a run that ended ``since`` ago; ``end`` observes the phase.

    A run that had ended before the request began is not observed: the request repeats a start.
    """
    # The clocks of gateway and scheduler may differ, but a phase must not be negative.
    decided_s = time.monotonic() - max(0.0, since.total_seconds())
    if decided_s > current_request.environ[_BEGAN]:
        current_request.environ[_DECIDED] = decided_s


def over(request: Request) -> None:
    """Record that a request has ended, with or without a response."""
    if request.environ.pop(_BEGAN, None) is not None:
        IN_FLIGHT.dec()


PROBE_OPERATIONS = frozenset({"GET /healthz", "GET /readyz", "GET /metrics", "GET /health"})
"""Operations that monitoring calls every few seconds. They are neither counted nor traced nor logged."""


class DaguCollector:
    """The ``dagu_*`` series for the admin server, which needs no API token."""

    def __init__(self, deps: "Deps") -> None:
        self._families = Scraped(lambda: families(deps, deps.clock()), wait_s=_WAIT_S)

    def collect(self) -> Iterable[Metric]:
        # The other metrics of this process must stay readable while the database cannot be reached.
        return self._families.get() or ()
