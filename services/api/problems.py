"""From an error to what the client sees. The only file that knows which HTTP status an error means.

Every error leaves as ``{"code", "message", "details"?}`` (REST contract section 1.1). An error that
nobody meant leaves as a fixed text: what happened is in the log, under the request id.
"""

from collections.abc import Mapping
from typing import Any

from shared.contracts.commands import RefusedError
from shared.errors import AlreadyExists, DagwayError, NotFound, PublishUnconfirmed, Unavailable

__all__ = [
    "BAD_REQUEST",
    "INTERNAL",
    "NOT_FOUND",
    "REFUSED",
    "TOO_LARGE",
    "UNAVAILABLE",
    "WRONG_METHOD",
    "Problem",
    "bad_request",
    "from_error",
    "from_refusal",
    "internal",
    "not_found",
    "too_slow",
    "unavailable",
]

BAD_REQUEST, NOT_FOUND, WRONG_METHOD, TOO_LARGE, INTERNAL, UNAVAILABLE = 400, 404, 405, 413, 500, 503
REFUSED = "dagway.refused"
"""Where in its WSGI environment a request's ``Problem`` is, if one was found before the application had it."""
RETRY_AFTER_S = 2
"""Roughly how long a broker or database reconnect takes."""

_STATUS: dict[str, int] = {
    "bad_request": BAD_REQUEST,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": NOT_FOUND,
    "already_exists": 409,
    "already_running": 409,
    "max_run_reached": 409,
    "not_running": BAD_REQUEST,
    "precondition_failed": 412,
    "internal_error": INTERNAL,
    "bad_gateway": 502,
    "service_unavailable": UNAVAILABLE,
}
_STATUS_BY_COMMAND: dict[tuple[str, str], int] = {
    ("run.retry", "already_running"): BAD_REQUEST,
    ("dag.rename", "already_running"): BAD_REQUEST,
}
"""Where one code means another status (REST contract sections 5.3 and 5.8)."""


class Problem(Exception):
    """An answer other than success, ready to be written."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    @property
    def envelope(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            body["details"] = self.details
        return body


def bad_request(message: str, **details: Any) -> Problem:
    """Return the problem of input that cannot be accepted."""
    return Problem(BAD_REQUEST, "bad_request", message, details=details)


def not_found(message: str) -> Problem:
    """Return the problem of a name nothing goes by."""
    return Problem(NOT_FOUND, "not_found", message)


def internal() -> Problem:
    """Return the fixed text for an error nobody meant."""
    return Problem(INTERNAL, "internal_error", "An internal error occurred; the server's log has it.")


def from_refusal(error: RefusedError | None, command_type: str) -> Problem:
    """Translate the scheduler's refusal of a command."""
    if error is None:
        return internal()
    status = _STATUS_BY_COMMAND.get((command_type, error.code), _STATUS.get(error.code, INTERNAL))
    if status == INTERNAL:
        return internal()
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == UNAVAILABLE else {}
    return Problem(status, error.code, error.message, details=error.details, headers=headers)


def from_error(error: DagwayError) -> Problem:
    """Translate an error raised on purpose; an invariant found broken stays an internal error."""
    if isinstance(error, PublishUnconfirmed):
        return unavailable(
            "The message broker went away before it confirmed: whether the command was accepted is unknown. "
            "Send it again with the same Idempotency-Key."
        )
    if isinstance(error, Unavailable):
        return unavailable("A service Dagway needs is away or overloaded; nothing was changed. Try again soon.")
    if error.code == "internal_error":
        return internal()
    fallback = {NotFound: "not found", AlreadyExists: "already exists"}.get(type(error), "bad request")
    return Problem(_STATUS.get(error.code, INTERNAL), error.code, str(error) or fallback)


def too_slow() -> Problem:
    """Return the problem of a body that did not come in time."""
    return Problem(408, "bad_request", "The body did not come in time", headers={"Retry-After": "5"})


def unavailable(message: str) -> Problem:
    """Return the problem of something that is away and will be back."""
    return Problem(UNAVAILABLE, "service_unavailable", message, headers={"Retry-After": str(RETRY_AFTER_S)})
