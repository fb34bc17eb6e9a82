"""Requests, as bytes, that a server or what stands in front of it could take for something else than they are."""

__all__ = ["HOSTILE_REQUESTS", "INNOCENT"]

_HEAD = b"Host: localhost\r\nConnection: close\r\n"
_POST = b"POST /api/v2/dags HTTP/1.1\r\n" + _HEAD + b"Content-Type: application/json\r\n"
_SECOND = b"GET /api/v2/second HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request within the body of another one. It must not be answered."""


def _get(path: bytes, *headers: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + _HEAD + b"".join(each + b"\r\n" for each in headers) + b"\r\n"


def _post(*headers: bytes, body: bytes = b"") -> bytes:
    return _POST + b"".join(each + b"\r\n" for each in headers) + b"\r\n" + body


INNOCENT = _get(b"/healthz")

HOSTILE_REQUESTS: dict[str, bytes] = {
    "no version": b"GET /etc/passwd\r\n\r\n",
    "a version to come": b"GET / HTTP/9.9\r\n" + _HEAD + b"\r\n",
    "no protocol": b"GET / EVIL/1.1\r\n" + _HEAD + b"\r\n",
    "a method in small letters": b"get /healthz HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "a method that is none": b"G@T\x7f / HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "TRACE": b"TRACE / HTTP/1.1\r\n" + _HEAD + b"Cookie: secret=1\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "OPTIONS of all": b"OPTIONS * HTTP/1.1\r\n" + _HEAD + b"\r\n",
    "another server's URL": _get(b"http://evil.example/api/v2/health"),
    "a URL that is none": _get(b"http://[::1"),
    "a space in the path": _get(b"/healthz evil"),
    "parents": _get(b"/../../../../etc/passwd"),
    "parents of a file": _get(b"/web/x/../../../../../../etc/passwd"),
    "encoded parents": _get(b"/web/x/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
    "parents in overlong UTF-8": _get(b"/web/x/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd"),
    "parents for Windows": _get(b"/web/x/..%5c..%5c..%5cetc%5cpasswd"),
    "a NUL in the path": _get(b"/web/x/main.js%00.css"),
    "a broken escape": _get(b"/api/v2/dags/%zz%"),
    "a surrogate": _get(b"/api/v2/dags/%ed%a0%80"),
    "a header in the path": _get(b"/api/v2/dags/x%0d%0aSet-Cookie:%20evil=1"),
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n" + _HEAD + b"\r\n",
    "a host that is none": b"GET /api/v2/dags HTTP/1.1\r\nHost: localhost@evil.example\r\nConnection: close\r\n\r\n",
    "a header's name that is none": _get(b"/healthz", b"X(y): 1"),
    "a space before the colon": _post(b"Content-Length : 80", body=_SECOND),
    "a folded header": _post(b"X: 1", b" Content-Length: 80", body=_SECOND),
    "a NUL in a header": _get(b"/healthz", b"X: a\0b"),
    "a bare CR in a header": _get(b"/healthz", b"X: a\rContent-Length: 80"),
    "a negative length": _post(b"Content-Length: -1", body=_SECOND),
    "a signed length": _post(b"Content-Length: +2", body=b"{}"),
    "a length in another script": _post("Content-Length: ٢".encode(), body=b"{}"),
    "two lengths that differ": _post(b"Content-Length: 2", b"Content-Length: 80", body=b"{}" + _SECOND),
    "chunks of no length": _post(b"Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n" + _SECOND),
    "chunks of a negative length": _post(b"Transfer-Encoding: chunked", body=b"-2\r\n{}\r\n0\r\n\r\n" + _SECOND),
    "an encoding that is none": _post(b"Transfer-Encoding: xchunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks of chunks": _post(b"Transfer-Encoding: chunked, chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
    "an upgrade": _get(b"/healthz", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    "an expectation": _post(b"Expect: 200-maybe", b"Content-Length: 2", body=b"{}"),
    "a thousand ranges": _get(b"/web/x/main.js", b"Range: bytes=" + b",".join(b"%d-" % each for each in range(1000))),
    "a cookie that is not UTF-8": _get(b"/api/v2/dags", b"Cookie: theirs=caf\xe9"),
    "a proxy's words": _get(b"/api/v2/dags", b"X-Original-URL: /api/v2/users", b"X-HTTP-Method-Override: DELETE"),
}
