"""Forwards requests to a remote node. Imported with the first one, as its HTTP client takes 15 ms."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import urlencode

import urllib3

from services.api.followers import Follower, Followers
from services.api.operations import ApiResponse
from services.api.problems import Problem
from services.api.requests import checked_values
from services.api.settings import RemoteNode
from shared.foreign_json import read_json
from shared.outbound import OutboundPolicy
from shared.outbound_http import OutboundDenied, outbound_pool
from shared.unknown_outcome import UNKNOWN

__all__ = ["forward"]

_TIMEOUT_S = 30
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_STREAM = "text/event-stream"
_AT_ONCE_BYTES = 64 * 1024
_PASSED_ON = ("Accept", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID")
_PASSED_BACK = ("ETag", "Retry-After")
_DATA = re.compile(r"(?:application/(?:json|x-ndjson)|text/plain)(?: ?; ?[\w.=\"-]+)*", re.ASCII | re.IGNORECASE)
"""Media types of a node's answers that are passed back. A browser saves an answer of any other type as a file: a page
from our address could do all that the user may."""


@cache
def _pool(policy: OutboundPolicy, *, verify: bool) -> urllib3.PoolManager:
    return outbound_pool(policy, num_pools=10, maxsize=8, cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE")


def forward(
    node: RemoteNode,
    method: str,
    path: str,
    *,
    query: list[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes,
    followers: Followers,
    without_place: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    policy: OutboundPolicy = "any",
) -> ApiResponse:
    """Send the request to the node, with the credentials configured for the node, and return the node's response.

    The address of the node must be one that ``policy`` allows. An event stream is relayed as it arrives. It counts
    against this server's limit of event streams as well. So does a request with ``wait``, while the node does not
    answer; meanwhile it is in the context ``without_place``, as those that wait here (``Followers.add``). Over the
    limit it is sent all the same, and counts as a request that is being answered.

    Raises:
        Problem: the node's error, with the status that the node returned; 502 if the node cannot be reached.
    """
    rest = urlencode([(name, value) for name, value in query if name != "remoteNode"])
    url = f"{node.api_base_url.rstrip('/')}{path}{f'?{rest}' if rest else ''}"
    wait_s = _wait_s(query)
    try:
        with _waiting(followers, without_place) if wait_s else contextlib.nullcontext():
            answer = _pool(policy, verify=not node.skip_tls_verify).request(
                method,
                url,
                body=body or None,
                headers=_sent_headers(node, headers),
                timeout=urllib3.Timeout(connect=_TIMEOUT_S, read=_TIMEOUT_S + wait_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        if answer.status == 200 and answer.headers.get("Content-Type", "").startswith(_STREAM):
            return ApiResponse(200, _Relay(answer, followers, without_place), _STREAM, {"X-Accel-Buffering": "no"})
        return _passed_back(node, answer)
    except OutboundDenied as error:
        raise Problem(502, "bad_gateway", f"Node {node.name!r} cannot be reached: {error}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Problem(502, "bad_gateway", f"Node {node.name!r} cannot be reached: {type(error).__name__}") from error


def _sent_headers(node: RemoteNode, headers: Mapping[str, str]) -> dict[str, str]:
    sent = {name: headers[name] for name in _PASSED_ON if name in headers}
    if node.is_basic_auth:
        sent |= urllib3.make_headers(basic_auth=f"{node.basic_auth_username}:{node.basic_auth_password}")
    elif node.is_auth_token:
        sent["Authorization"] = f"Bearer {node.auth_token}"
    return sent


def _passed_back(node: RemoteNode, answer: urllib3.BaseHTTPResponse) -> ApiResponse:
    """Read a node's answer whole, and return it. Raises the node's error as a ``Problem``."""
    data = answer.read(_MAX_ANSWER_BYTES + 1, decode_content=True)
    if len(data) > _MAX_ANSWER_BYTES:
        answer.close()
        raise Problem(502, "bad_gateway", f"Node {node.name!r} answered more than {_MAX_ANSWER_BYTES >> 20} MiB")
    answer.release_conn()
    if answer.status >= 400:
        about = _about(data)
        message = str(about.get("message", ""))[:1000] or f"Node {node.name!r} refused the request"
        # Of the details only what says that this is no refusal: the others are about the node.
        details = UNKNOWN if about.get("details") == UNKNOWN else {}
        raise Problem(answer.status, "bad_gateway", message, details=details)
    kind = answer.headers.get("Content-Type", "")
    kind = kind if _DATA.fullmatch(kind) else "application/octet-stream"
    back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    if not data:
        return ApiResponse(answer.status, headers=back)
    return ApiResponse(
        answer.status, data, kind if kind != "application/json" else "application/json; charset=utf-8", back
    )


class _Relay:
    """Relays the event stream of a remote node. Ends when the node's stream ends or breaks; clients then reconnect."""

    def __init__(
        self,
        answer: urllib3.BaseHTTPResponse,
        followers: Followers,
        without_place: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        self._answer = answer
        self._without_place = without_place
        self._place: Follower | None = None
        try:
            self._place = followers.add("")
        finally:
            if self._place is None:
                answer.close()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with contextlib.suppress(urllib3.exceptions.HTTPError, OSError):
            with self._without_place():
                data = self._answer.read1(_AT_ONCE_BYTES)
            if data:
                return data
        raise StopIteration

    def close(self) -> None:
        """Close the connection to the node. The server calls this when the client disconnects or the stream ends."""
        self._answer.close()
        if self._place is not None:
            self._place.close()


@contextlib.contextmanager
def _waiting(
    followers: Followers, without_place: Callable[[], contextlib.AbstractContextManager[None]]
) -> Iterator[None]:
    try:
        place = followers.add("")
    except Problem:
        yield
        return
    with contextlib.closing(place), without_place():
        yield


def _wait_s(query: list[tuple[str, str]]) -> float:
    """Return the seconds of the query parameter ``wait``: how long the node may take longer to answer."""
    for name, value in query:
        if name == "wait":
            with contextlib.suppress(Problem):
                return checked_values.seconds(value, name, most=_TIMEOUT_S * 2)
    return 0


def _about(data: bytes) -> dict[str, Any]:
    """Return what a node says about an error; nothing of the page of a proxy."""
    try:
        content: Any = read_json(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
