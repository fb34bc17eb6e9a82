"""Handing requests on to another server of the same API (REST contract section 5.13)."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import urllib3

from services.api.operations import Answer
from services.api.problems import Problem, bad_request
from services.api.settings import RemoteNode, Settings

__all__ = ["chosen_node", "forward"]

_TIMEOUT_S = 30
_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_PASSED_ON = ("Accept", "Content-Type", "Idempotency-Key", "If-Match")
_PASSED_BACK = ("ETag", "Retry-After")
_pools = {
    verify: urllib3.PoolManager(num_pools=10, maxsize=8, cert_reqs="CERT_REQUIRED" if verify else "CERT_NONE")
    for verify in (True, False)
}


def chosen_node(settings: Settings, names: list[str]) -> RemoteNode | None:
    """Return the node a request is meant for, ``None``: this one. Raises a 400 for an unknown name."""
    for name in names:
        if name in {"", "local"}:
            continue
        for node in settings.remote_nodes:
            if node.name == name:
                return node
        raise bad_request(f"remoteNode: {name[:100]!r} is not a configured node", field="remoteNode")
    return None


def forward(
    node: RemoteNode, method: str, path: str, *, query: list[tuple[str, str]], headers: Mapping[str, str], body: bytes
) -> Answer:
    """Send the request there with the node's own credentials, and hand its answer back.

    Raises:
        Problem: what the other server refused, under its own status; 502 when it cannot be reached.
    """
    sent = {name: headers[name] for name in _PASSED_ON if name in headers}
    if node.is_basic_auth:
        sent |= urllib3.make_headers(basic_auth=f"{node.basic_auth_username}:{node.basic_auth_password}")
    elif node.is_auth_token:
        sent["Authorization"] = f"Bearer {node.auth_token}"
    rest = urlencode([(name, value) for name, value in query if name != "remoteNode"])
    url = f"{node.api_base_url.rstrip('/')}{path}{f'?{rest}' if rest else ''}"
    try:
        answer = _pools[not node.skip_tls_verify].request(
            method,
            url,
            body=body or None,
            headers=sent,
            timeout=urllib3.Timeout(total=_TIMEOUT_S),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        data = answer.read(_MAX_ANSWER_BYTES, decode_content=True)
        answer.release_conn()
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise Problem(502, "bad_gateway", f"Node {node.name!r} cannot be reached: {type(error).__name__}") from error
    if answer.status >= 400:
        raise Problem(answer.status, "bad_gateway", _message(data) or f"Node {node.name!r} refused the request")
    kind = answer.headers.get("Content-Type", "application/octet-stream")
    back = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
    if not data:
        return Answer(answer.status, headers=back)
    return Answer(answer.status, data, kind if kind != "application/json" else "application/json; charset=utf-8", back)


def _message(data: bytes) -> str:
    try:
        content: Any = json.loads(data)
    except ValueError:
        return ""
    return str(content.get("message", ""))[:1000] if isinstance(content, dict) else ""
