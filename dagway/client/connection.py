"""How both clients connect."""

import ssl
import time
from typing import Any

import httpx

from dagway.client.errors import ClientError
from dagway.client.exchange import HttpAnswer, connection_failed
from shared.settings.readers import header_value

__all__ = [
    "API",
    "PATIENCE_S",
    "check_repeatable",
    "check_stream",
    "no_answer",
    "pause_until",
    "settings_of",
    "stream_options",
    "timeout_of",
]

API = "/api/v2"
PATIENCE_S = 600.0
"""How long an event stream may be without a connection."""
_READ_S, _CONNECT_S, _SHORTEST_S = 75.0, 10.0, 0.05
"""The gateway may wait 60 s for an outcome, and sends a line on a silent event stream every 10 s."""
_CLEAR_TEXT, _SILENT = "WRONG_VERSION_NUMBER", "handshake operation timed out"
"""What Python's TLS says of a server without it, which answers in clear text or not at all.

A server that is slow does not answer either.
"""
_ANSWER_S = 5.0
"""How long a gateway may take for an answer at least, even if the caller wanted it sooner."""


def settings_of(url: str, *, token: str, basic: tuple[str, str] | None, ca_file: str, workspace: str) -> dict[str, Any]:
    """Return the arguments of ``httpx.Client`` and ``httpx.AsyncClient``.

    Redirects are not followed, because they would send the credentials to another server.
    """
    if token and basic:
        raise ValueError("give a token or a user name with a password, not both")
    for name, text in (("token", token), ("workspace", workspace)):
        try:
            header_value(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if workspace:
        headers["X-Dagway-Workspace"] = workspace
    return {
        "base_url": url.rstrip("/"),
        "headers": headers,
        "auth": basic,
        "timeout": timeout_of(0.0),
        **({"verify": httpx.create_ssl_context(verify=ca_file)} if ca_file else {}),
    }


def timeout_of(takes_s: float, deadline: float | None = None) -> httpx.Timeout:
    """Return the timeout of a request that the gateway may take ``takes_s`` longer to answer than others.

    It ends at ``deadline``, a time of ``time.monotonic()``, but leaves the gateway some seconds for its answer.
    """
    if deadline is None:
        return httpx.Timeout(_READ_S + takes_s, connect=_CONNECT_S)
    left_s = max(_ANSWER_S, deadline - time.monotonic())
    return httpx.Timeout(min(left_s, _READ_S + takes_s), connect=min(left_s, _CONNECT_S))


def no_answer(error: httpx.RequestError) -> HttpAnswer:
    """Return that a request was not answered, and whether that may be because only one side speaks TLS."""
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    cause: BaseException | None = error
    while cause and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    if any(text in str(error) for text in (_CLEAR_TEXT, _SILENT)):
        doubt = "is it a server without TLS, at http://?"
        return HttpAnswer(failure=error, repeat=_CLEAR_TEXT not in str(error), doubt=doubt, sent=sent)
    if cause:
        return HttpAnswer(failure=error, repeat=False, sent=sent)
    closed = isinstance(error, httpx.ReadError | httpx.RemoteProtocolError) and error.request.url.scheme == "http"
    return HttpAnswer(failure=error, doubt="is it a server with TLS, at https://?" if closed else "", sent=sent)


def check_repeatable(path: str, error: httpx.RequestError) -> None:
    """Raise ``ConnectionFailed`` if an event stream can never be opened, for instance because of its certificate."""
    answer = no_answer(error)
    if not answer.repeat:
        raise connection_failed(f"GET {path}", answer) from error


def stream_options(last_id: str, deadline: float | None) -> dict[str, Any]:
    """Return the options of a request for the events after ``last_id``. It times out at ``deadline``."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
    if deadline is None:
        return {"headers": headers}
    left_s = max(_SHORTEST_S, deadline - time.monotonic())
    limits = httpx.Timeout(_READ_S, connect=min(left_s, _CONNECT_S), read=min(left_s, _READ_S))
    return {"headers": headers, "timeout": limits}


def check_stream(answer: httpx.Response) -> None:
    """Raise a ``ClientError`` if an answer of status 200 is no event stream, but for example the page of a proxy."""
    given = answer.headers.get("Content-Type", "")
    if not given.startswith("text/event-stream"):
        raise ClientError(f"the answer is {given or 'without a type'}, no event stream: is this a Dagway gateway?")


def pause_until(deadline: float | None, wanted_s: float) -> float:
    """Return how long to pause before the next connection: not beyond ``deadline``."""
    return wanted_s if deadline is None else max(0.0, min(wanted_s, deadline - time.monotonic()))
