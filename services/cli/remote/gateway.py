"""Requests to a gateway: reads are repeated after a failure, and so are writes, which carry an Idempotency-Key.

Commands print the JSON of answers as it came. They do not use ``dagway.client``, because its models take a quarter of
a second to import.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

import urllib3

from services.cli.errors import GatewayError, GatewayUnreachable
from shared.foreign_json import read_json
from shared.http_failures import failure_text, speaks_no_http
from shared.unknown_outcome import IN_DOUBT, UNAVAILABLE, may_be_stored

__all__ = ["Gateway", "ServerConnection", "path"]

_CONNECT_S, _READ_S = 10, 75
"""A start may wait 60 s for the end of its run; a silent event stream gets a line every 10 s."""
_TRIES, _PAUSE_S = 4, 0.5
_ACCEPTED = 202
_OUTCOME_TRIES = 6
"""How often the outcome of an accepted write is asked for. The gateway waits some seconds for it each time."""
_NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)
"""After these errors nobody has the request."""

_TO_LOG_IN = "give a token by --token or DAGWAY_AUTH_TOKEN, or a profile by dagway config set"
_TO_LOG_IN_BASIC = f"set DAGWAY_AUTH_BASIC_USERNAME and DAGWAY_AUTH_BASIC_PASSWORD, {_TO_LOG_IN}"


@dataclass(frozen=True, slots=True)
class ServerConnection:
    """Where the gateway is and how to authenticate. ``source`` says what the URL was taken from."""

    url: str
    authorization: str = field(default="", repr=False)
    ca_file: str = ""
    source: str = ""
    workspace: str = ""
    """The workspace that all requests name; empty: the default workspace."""
    name: str = "the gateway"
    """What the server is called in messages. ``to_reach`` and ``to_log_in`` say what to do if that fails.

    An empty ``to_log_in`` stands for what gateways take.
    """
    to_reach: str = "start one with `dagway up`, or give another by --url or DAGWAY_URL"
    to_log_in: str = ""


def path(*parts: str) -> str:
    """Return a path of the API: the parts, quoted and joined by slashes.

    Raises:
        GatewayError: a part is empty, or ``.`` or ``..``, which urllib3 would resolve: the request would be for
            something else.
    """
    if wrong := {"", ".", ".."}.intersection(parts):
        raise GatewayError(f"{wrong.pop()!r} cannot be a name or an id")
    return "".join(f"/{quote(part, safe='')}" for part in parts)


class Gateway:
    """Sends requests. All methods raise ``GatewayUnreachable`` or ``GatewayError``.

    ``pause`` waits some seconds before a request is repeated.
    """

    def __init__(self, connection: ServerConnection, pause: Callable[[float], None] = time.sleep) -> None:
        self.connection = connection
        self._pause = pause
        self._heard = False
        """Whether the server has answered, so that nobody need ask whether it speaks TLS."""
        self._pool = urllib3.PoolManager(
            retries=False,
            maxsize=2,
            timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
            ca_certs=connection.ca_file or None,
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a resource. See ``send`` for ``query``."""
        return self.send("GET", path, query)

    def health(self) -> Mapping[str, Any]:
        """Return what the gateway says about its health, also if it is not healthy."""
        try:
            found: Mapping[str, Any] = self.get("/health")
        except GatewayError as error:
            if "schemaRevision" not in error.body:
                raise
            return error.body
        return found

    def post(self, path: str, body: Any = None) -> Any:
        """Send a write and return the JSON of the answer. A repetition has no second effect."""
        return self.send("POST", path, body=body)

    def put(self, path: str, body: Any) -> Any:
        """See ``post``."""
        return self.send("PUT", path, body=body)

    def patch(self, path: str, body: Any) -> Any:
        """See ``post``."""
        return self.send("PATCH", path, body=body)

    def delete(self, path: str) -> Any:
        """See ``post``."""
        return self.send("DELETE", path)

    def send(self, method: str, path: str, query: Mapping[str, Any] = {}, body: Any = None) -> Any:
        """Send a request until it is answered, and return the JSON.

        Parameters that are ``None`` are left out, and empty ones are sent: an empty cursor asks for the first page.

        A write that the server has stored and not carried out yet (202) is sent again with its key: that has no
        second effect, and is answered with the outcome. It stays stored if the gateway fails meanwhile.
        """
        text = urlencode({name: _text(value) for name, value in query.items() if value is not None})
        where = f"{path}?{text}" if text else path
        headers = self._headers()
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid.uuid4())
        if body is None and method == "POST":
            body = {}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        for stored in range(_OUTCOME_TRIES):
            try:
                answer = self._answer(method, where, data, headers)
            except GatewayError:
                if stored:
                    break
                raise
            if stored and answer.status in UNAVAILABLE:
                break
            content = self._content(answer)
            if answer.status != _ACCEPTED:
                return content
            self._pause(_PAUSE_S)
        raise GatewayError(
            "the server has stored this request, but has not carried it out yet: it may still do so. Do not repeat it, "
            "and see `dagway doctor` for what is wrong",
            status=_ACCEPTED,
        )

    def _answer(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str]
    ) -> urllib3.BaseHTTPResponse:
        in_doubt = False
        for tries_left in reversed(range(_TRIES)):
            began = time.monotonic()
            try:
                answer = self._pool.request(method, self._url(path), body=data, headers=headers, redirect=False)
            except urllib3.exceptions.HTTPError as error:
                # If only one side speaks TLS, another try would not help.
                speaks_other = _speaks_other(error, time.monotonic() - began)
                in_doubt = in_doubt or (method != "GET" and not speaks_other and not isinstance(error, _NOT_SENT))
                if not tries_left or speaks_other:
                    self._unreachable(error, f"; {IN_DOUBT}" if in_doubt else "")
            else:
                self._heard = True
                if answer.status not in UNAVAILABLE:
                    return answer
                in_doubt = in_doubt or (method != "GET" and may_be_stored(answer.status, answer.data))
                if not tries_left:
                    if not in_doubt:
                        return answer
                    raise GatewayError(f"{IN_DOUBT}, and see `dagway doctor` for what is wrong", status=answer.status)
            self._pause(_PAUSE_S * (_TRIES - tries_left))
        raise AssertionError("the last try returns or raises")

    def stream(self, path: str, last_id: str) -> Iterator[bytes] | None:
        """Yield the bytes of an event stream as they arrive; return ``None`` if it has ended."""
        headers = {**self._headers(), "Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        try:
            answer = self._pool.request("GET", self._url(path), headers=headers, preload_content=False, redirect=False)
            self._heard = True
            if answer.status == 204:
                answer.release_conn()
                return None
            if answer.status in UNAVAILABLE:
                answer.close()
                raise GatewayUnreachable(f"{self.connection.name} at {self.connection.url} answered {answer.status}")
            if answer.status != 200:
                self._content(answer)
        except urllib3.exceptions.HTTPError as error:
            self._unreachable(error)
        return self._pieces(answer)

    def _pieces(self, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        try:
            yield from answer.stream()
        except urllib3.exceptions.HTTPError as error:
            self._unreachable(error)
        finally:
            answer.close()

    def _url(self, path: str) -> str:
        return f"{self.connection.url}/api/v2{path}"

    def _headers(self) -> dict[str, str]:
        named = {"Authorization": self.connection.authorization, "X-Dagway-Workspace": self.connection.workspace}
        return {name: value for name, value in named.items() if value}

    def _unreachable(self, error: Exception, doubt: str = "") -> NoReturn:
        url = self.connection.url
        where = f" (from {self.connection.source})" if self.connection.source else ""
        reason = _reason(error, "" if self._heard else url)
        raise GatewayUnreachable(
            f"{self.connection.name} at {url}{where} cannot be reached: {reason}{doubt}",
            advice=self.connection.to_reach,
        ) from error

    def _content(self, answer: urllib3.BaseHTTPResponse) -> Any:
        status = answer.status
        try:
            content = read_json(answer.data) if answer.data else {}
        except ValueError as error:
            doubt = f"check that this is the URL of {self.connection.name}"
            if status == 400 and self.connection.url.startswith("http:"):  # what proxies with TLS answer
                doubt += ", and whether it begins with https://"
            passing = status if status in UNAVAILABLE else 0  # of a proxy, while no gateway is behind it
            text = f"{self.connection.url} answered {status} without JSON: {doubt}"
            raise GatewayError(text, status=passing) from error
        if 200 <= status < 300:
            return content
        about: Mapping[str, Any] = content if isinstance(content, dict) else {}
        text = str(about.get("message") or f"{self.connection.name} at {self.connection.url} answered {status}")
        # A token does not help against what a setting of the server forbids to all.
        details = about.get("details")
        by_setting = isinstance(details, dict) and "setting" in details
        hint = f"; {self._to_log_in(answer)}" if status == 401 and not by_setting else ""
        raise GatewayError(f"{text}{hint}", status=status, error_code=str(about.get("code", "")), body=about)

    def _to_log_in(self, answer: urllib3.BaseHTTPResponse) -> str:
        if self.connection.to_log_in:
            return self.connection.to_log_in
        return _TO_LOG_IN_BASIC if answer.headers.get("WWW-Authenticate", "").startswith("Basic") else _TO_LOG_IN


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _speaks_other(error: Exception, waited_s: float) -> bool:
    """Return whether only one side speaks TLS. A TLS handshake has less time than an answer."""
    silent = isinstance(error, urllib3.exceptions.ReadTimeoutError) and waited_s < _READ_S
    return silent or isinstance(error, urllib3.exceptions.SSLError) or speaks_no_http(error)


def _reason(error: Exception, url: str) -> str:
    """Return why there is no answer, in words for people. Without a ``url`` it is not asked whether that is right."""
    if isinstance(error, urllib3.exceptions.ReadTimeoutError):
        doubt = " (is it one without TLS, at http://?)" if url.startswith("https:") else ""
        return f"it accepts connections but does not answer{doubt}"
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return str(cause.strerror)
    closed = isinstance(error, urllib3.exceptions.ProtocolError) and url.startswith("http:")
    return f"{failure_text(error)}{' (is it one with TLS, at https://?)' if closed else ''}"
