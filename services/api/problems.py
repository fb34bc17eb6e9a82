"""Translates errors into responses. No other file maps errors to HTTP statuses.

The body of every error is ``{"code", "message", "details"?}`` (as in Dagu's REST API v2). The message of an
unexpected error is a fixed text; the log has its cause, with the request id.
"""

from collections.abc import Mapping
from typing import Any

from shared.contracts.commands import RefusedError
from shared.errors import (
    AlreadyExists,
    BrokerUnavailable,
    DagwayError,
    NotFound,
    PublishUnconfirmed,
    StoreUnavailable,
    Unavailable,
    Unroutable,
)
from shared.unknown_outcome import UNKNOWN

__all__ = [
    "BAD_REQUEST",
    "INTERNAL",
    "NOT_FOUND",
    "REFUSED",
    "SETTING",
    "TOO_LARGE",
    "UNAVAILABLE",
    "WRONG_METHOD",
    "Problem",
    "bad_request",
    "broken_body",
    "from_error",
    "from_refusal",
    "internal",
    "not_found",
    "not_now",
    "too_slow",
    "unavailable",
    "wrong_type",
]

BAD_REQUEST, NOT_FOUND, WRONG_METHOD, TOO_LARGE, INTERNAL, UNAVAILABLE = 400, 404, 405, 413, 500, 503
SETTING = "setting"
"""Key in the details of a refusal that a setting of the server causes, whoever asks. Its value names the setting."""
REFUSED = "dagway.refused"
"""Key in the WSGI environment. Its value is the ``Problem`` of a request that the server refused before Flask ran."""
RETRY_AFTER_S = 2
"""About as long as a reconnect to the broker or the database takes."""

_STATUS: dict[str, int] = {
    "bad_request": BAD_REQUEST,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": NOT_FOUND,
    "already_exists": 409,
    "conflict": 409,
    "already_running": 409,
    "max_run_reached": 409,
    "quota_exceeded": 409,
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
"""Statuses that differ from ``_STATUS`` for one type of command (as in Dagu's REST API v2)."""


class Problem(Exception):
    """An error response."""

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
    """Return a 400 for invalid input."""
    return Problem(BAD_REQUEST, "bad_request", message, details=details)


def not_found(message: str) -> Problem:
    """Return a 404 for an object that does not exist."""
    return Problem(NOT_FOUND, "not_found", message)


def internal() -> Problem:
    """Return a 500 with the fixed text for an unexpected error."""
    return Problem(INTERNAL, "internal_error", "An internal error occurred; see the server's log.")


def from_refusal(error: RefusedError | None, command_type: str) -> Problem:
    """Translate the error with which a scheduler refused a command of this type."""
    if error is None:
        return internal()
    status = _STATUS_BY_COMMAND.get((command_type, error.code), _STATUS.get(error.code, INTERNAL))
    if status == INTERNAL:
        # The message of another code may be about the cause.
        return Problem(INTERNAL, error.code, error.message) if error.code == "internal_error" else internal()
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == UNAVAILABLE else {}
    return Problem(status, error.code, error.message, details=error.details, headers=headers)


def from_error(error: DagwayError, *, reading: bool = False) -> Problem:
    """Translate an expected error. A broken invariant becomes a 500. ``reading``: the request changes nothing."""
    if isinstance(error, PublishUnconfirmed):
        return unavailable(
            "The connection to the message broker was lost before it confirmed the command: whether the command was "
            "accepted is unknown. Send it again with the same Idempotency-Key.",
            **UNKNOWN,
        )
    if isinstance(error, Unavailable):
        return not_now(f"{_what(error)} is unavailable or overloaded", reading=reading)
    if error.code == "internal_error":
        return internal()
    fallback = {NotFound: "not found", AlreadyExists: "already exists"}.get(type(error), "bad request")
    return Problem(_STATUS.get(error.code, INTERNAL), error.code, str(error) or fallback)


def _what(error: Unavailable) -> str:
    if isinstance(error, StoreUnavailable):
        return "The database"
    return "The message broker" if isinstance(error, BrokerUnavailable | Unroutable) else "The server"


def broken_body() -> Problem:
    """Return a 400 for a request body that ends early, or whose chunks have no valid length.

    With gunicorn, reading it raises an ``OSError``.
    """
    return bad_request("The request body is incomplete, or a chunk of it has no valid length")


def too_slow() -> Problem:
    """Return a 408 for a request body that did not arrive in time."""
    return Problem(408, "bad_request", "The request body did not arrive in time", headers={"Retry-After": "5"})


def wrong_type(message: str) -> Problem:
    """Return a 415 for a body of a media type that is not accepted."""
    return Problem(415, "bad_request", message)


def unavailable(message: str, **details: str) -> Problem:
    """Return a 503 with ``Retry-After``."""
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(UNAVAILABLE, "service_unavailable", message, details=details, headers=headers)


def not_now(why: str, *, reading: bool) -> Problem:
    """Return a 503 for a request that is not carried out. Only who changes something asks whether it was done."""
    return unavailable(why if reading else f"{why}; nothing was changed. Try again soon.")
