"""HTTP requests: ``command: GET https://host/path``, with options in ``config`` or, as JSON, in ``script``.

``timeout`` limits the whole exchange, including the body and retries. No client library offers that, so a timer shuts
the connection down. ``http_redirects`` follows redirects.
Source: docs/executors.md#details-of-each-type.
"""

import json
import re
import ssl
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.exceptions import HTTPError

from services.worker.executors.base import Job, StepIO
from services.worker.executors.cancel_scope import Cancelled, CancelScope
from services.worker.executors.http_bodies import body_pieces
from services.worker.executors.http_redirects import follow, without_login
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate, positive_seconds
from services.worker.executors.tls import tls_context
from services.worker.process.outcome import Result
from shared.errors import InvalidInput
from shared.foreign_json import read_json
from shared.http_failures import failure_text
from shared.language.yaml.fields import scalar_text, type_name
from shared.outbound_http import ClosingRetry, OutboundDenied, outbound_pool

__all__ = ["HttpExecutor", "open_pool"]

_CONNECT_S = 30.0
_MAX_JSON_BYTES = 64 * 1024 * 1024
"""The largest body that ``json: true`` can print, since it must be held in memory."""
_RETRIED_STATUS = frozenset({429, 502, 503, 504})
_MAX_BACKOFF_S = 10
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""RFC 9110 section 5.6.2."""
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that send no body, as in Dagu."""
_TLS_OPTIONS = ("caFile", "clientCert", "skipTLSVerify")
"""With one of them, a context is also made for ``http:``, which may redirect to ``https:``."""
_ESCAPED = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})
"""Dagu escapes JSON for HTML; these characters only occur inside strings."""
_LONGEST_INT = 1e21
_HIDDEN = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})


class HttpExecutor:
    """Makes one request and prints the response."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Make the request. A status other than 2xx is exit code 1."""
        request = _Request.of(job)
        cancel_scope = CancelScope()
        timer = threading.Timer(request.timeout_s, cancel_scope.expire) if request.timeout_s else None
        if timer is not None:
            timer.daemon = True
            timer.start()
        try:
            error = job.supervisor.call(lambda: _exchange(job, request, cancel_scope, io), cancel_scope.cancel)
        except (HTTPError, Cancelled, OSError, ValueError, OutboundDenied) as failure:
            error = f"http request failed: {failure_text(failure)}"
        finally:
            if timer is not None:
                timer.cancel()
            cancel_scope.cancel()
        if cancel_scope.expired:
            error = f"http request timed out after {request.timeout_s:g}s"
        return make_result(job, error or "")


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: dict[str, str]
    query: dict[str, str]
    body: bytes | None
    timeout_s: float
    retries: int
    silent: bool
    debug: bool
    as_json: bool
    tls: ssl.SSLContext | None

    @classmethod
    def of(cls, job: Job) -> "_Request":
        words = job.step.commands[0].argv if job.step.commands else ()
        if len(words) < 2:
            raise InvalidInput('an http step needs command: "METHOD URL"')
        config = _options(job)
        url = str(evaluate(job, words[1]))
        if not url.lower().startswith(("http://", "https://")):
            raise InvalidInput(f"command: the URL must begin with http:// or https://, not {url!r}")
        method = words[0].upper()
        headers = {_canonical(name): text for name, text in _texts(config, "headers").items()}
        body = config.get("body")
        if method in _WITHOUT_BODY:
            body = None
        elif isinstance(body, dict | list):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        else:
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        return cls(
            method=method,
            url=url,
            headers=headers,
            query=dict(sorted(_texts(config, "query").items())),
            body=None if body in (None, "") else _text(body).encode(),
            timeout_s=positive_seconds(config, "timeout"),
            retries=_count(config),
            silent=_flag(config, "silent"),
            debug=_flag(config, "debug"),
            as_json=_flag(config, "json"),
            tls=_tls(job, config) if url.lower().startswith("https:") or any(map(config.get, _TLS_OPTIONS)) else None,
        )


def _options(job: Job) -> dict[str, Any]:
    if not job.step.script.strip():
        return dict(evaluate(job, job.step.config))
    try:
        options = read_json(evaluate(job, job.step.script))
    except ValueError as error:
        raise InvalidInput(f"the script of an http step must be JSON: {error}") from error
    if not isinstance(options, dict):
        raise InvalidInput("the script of an http step must be a JSON object")
    return options


def _texts(config: dict[str, Any], name: str) -> dict[str, str]:
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise InvalidInput(f"{name} must be a map of names to values, not {type_name(found)}")
    return {str(key): _text(value) for key, value in found.items()}


def _text(value: Any) -> str:
    """Return a value of the config as Dagu sends it: a boolean as 1 or 0, null as an empty text."""
    return str(int(value)) if isinstance(value, bool) else scalar_text(value)


def _canonical(name: str) -> str:
    """Return a header's name as Dagu writes it: ``x-api-key`` and ``X-API-Key`` become ``X-Api-Key``.

    A name that is not a token is returned unchanged. Header names are case-insensitive (RFC 9110 section 5.1), but
    receivers and readers of ``output`` that were written for Dagu expect exactly this form.
    """
    if not _TOKEN.fullmatch(name):
        return name
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))


def _flag(config: dict[str, Any], name: str) -> bool:
    value = config.get(name, False)
    return value if isinstance(value, bool) else str(value).lower() in {"true", "1", "yes"}


def _count(config: dict[str, Any]) -> int:
    value = config.get("retries", 0)
    if not str(value).isdecimal():
        raise InvalidInput(f"retries must be a whole number, not {value!r}")
    return int(value)


def _tls(job: Job, config: dict[str, Any]) -> ssl.SSLContext:
    ca_file, cert, key = (str(config.get(name) or "") for name in ("caFile", "clientCert", "clientKey"))
    verify = not _flag(config, "skipTLSVerify")
    return tls_context(job, ca_file=ca_file, client_cert=cert, client_key=key, verify=verify)


def open_pool(job: Job, cancel_scope: CancelScope, tls: ssl.SSLContext | None = None) -> urllib3.PoolManager:
    """Return an HTTP client for a job, whose connections ``cancel_scope`` shuts down."""
    options: dict[str, Any] = {} if tls is None else {"ssl_context": tls}
    timeout = urllib3.Timeout(connect=_CONNECT_S, read=None)
    return outbound_pool(job.outbound, connected=cancel_scope.guard, num_pools=1, timeout=timeout, **options)


def _exchange(job: Job, request: _Request, cancel_scope: CancelScope, io: StepIO) -> str:
    """Make the request, print the response and return the error text, empty on success."""
    retry = ClosingRetry(
        total=request.retries,
        connect=request.retries,
        read=request.retries,
        status=request.retries,
        other=request.retries,
        status_forcelist=_RETRIED_STATUS if request.retries else (),
        backoff_factor=0.2,
        backoff_max=_MAX_BACKOFF_S,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    url = request.url
    if request.query:
        head, hash_mark, fragment = url.partition("#")
        glue = "&" if "?" in head else "?"
        url = f"{head}{glue}{urlencode(request.query)}{hash_mark}{fragment}"
    # With a percent sign of its own, the library would encode those of the other characters once more.
    url, login = without_login(_STRAY_PERCENT.sub("%25", url))
    headers = {"Authorization": login, **request.headers} if login else request.headers
    if request.debug:
        _print_headers(cancel_scope, io, f"> {request.method} {url}", ">", headers.items())
    with open_pool(job, cancel_scope, request.tls) as pool:
        response = follow(pool, request.method, url, headers=headers, body=request.body, retries=retry)
        try:
            return _print(request, response, cancel_scope, io)
        finally:
            response.close()


def _print_headers(cancel_scope: CancelScope, io: StepIO, first: str, mark: str, headers: Any) -> None:
    shown = [f"{mark} {name}: {'***' if name.lower() in _HIDDEN else value}" for name, value in headers]
    cancel_scope.write(io.stderr, "\n".join([first, *shown, ""]).encode(errors="replace"))


def _print(request: _Request, response: urllib3.BaseHTTPResponse, cancel_scope: CancelScope, io: StepIO) -> str:
    good = HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES
    if request.debug:
        _print_headers(cancel_scope, io, f"< {response.status} {response.reason}", "<", response.headers.items())
    error = "" if good else f"http status code not 2xx: {response.status}"
    if request.as_json:
        return _print_json(response, cancel_scope, io) or error
    if not (request.silent and good):
        headers = "".join(f"{name}: {value}\r\n" for name, values in _headers(response) for value in values)
        first = f"{response.status} {response.reason or ''}".rstrip()
        cancel_scope.write(io.stdout, f"{first}\n{headers}".encode(errors="replace"))
    for piece in body_pieces(response):
        cancel_scope.write(io.stdout, piece)
    return error


def _headers(response: urllib3.BaseHTTPResponse) -> list[tuple[str, list[str]]]:
    return sorted((_canonical(name), response.headers.getlist(name)) for name in response.headers)


def _print_json(response: urllib3.BaseHTTPResponse, cancel_scope: CancelScope, io: StepIO) -> str:
    parts: list[bytes] = []
    size = 0
    for piece in body_pieces(response):
        parts.append(piece)
        size += len(piece)
        if size > _MAX_JSON_BYTES:
            return f"json: the body of the response is larger than {_MAX_JSON_BYTES} bytes"
    try:
        body = json.loads(b"".join(parts), parse_float=_number)
    except (ValueError, RecursionError) as error:
        return f"json: the body of the response is not JSON: {error}"
    members = [
        f' "{name}": {json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)}'.replace("\n", "\n ")
        for name, value in (("status_code", response.status), ("headers", dict(_headers(response))), ("body", body))
    ]
    text = "{\n" + ",\n".join(members) + "\n}\n"
    cancel_scope.write(io.stdout, text.translate(_ESCAPED).encode(errors="surrogatepass"))
    return ""


def _number(text: str) -> float:
    """Parse a number of a JSON body so that 1.0 is printed as 1."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _LONGEST_INT else value
