"""Routes requests by the undecoded path, so that clients can address a step named ``a/b`` as ``a%2Fb``.

A WSGI server decodes the path before it calls the application, and then a slash inside a name looks like a slash
between names. This middleware takes the raw path, if the server provides it, and passes on a path in which only ``%``
and ``/`` inside segments are escaped; ``SegmentConverter`` decodes these. A step name that is sent with plain slashes
is recognised if a fixed word follows the name, as in ``/steps/a/b/log``.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import unquote

from werkzeug.routing import BaseConverter

from services.api.problems import REFUSED, Problem
from services.api.requests.dagu2_api import ASKED_HERE, read_request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["RawPath", "SegmentConverter"]

_STEP = re.compile(
    r"(?P<before>/api/v2/dag-runs/[^/]*/[^/]*(?:/sub-dag-runs/[^/]*)?/steps/)"
    r"(?P<name>.+)"
    r"(?P<after>/(?:status|log(?:/search|/download)?|approve|reject)/?)"
)


class SegmentConverter(BaseConverter):
    """Matches one path segment and decodes it. The decoded segment may contain any character."""

    regex = "[^/]+"
    part_isolating = True

    def to_python(self, value: str) -> str:
        return unquote(value, errors="replace")

    def to_url(self, value: str) -> str:
        return _escape(value)


class RawPath:
    """WSGI middleware that rewrites ``PATH_INFO`` as described above, and removes ``base_path`` from the path.

    Requests to Dagu 2's API become those of ours (``dagu2_api``).
    """

    def __init__(self, app: "WSGIApplication", base_path: str = "") -> None:
        self._app = app
        self._base_path = base_path

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = _segments(environ)
        if self._base_path and (path == self._base_path or path.startswith(self._base_path + "/")):
            environ["SCRIPT_NAME"] = self._base_path
            path = path[len(self._base_path) :] or "/"
        path = _of_dagu2(path, environ)
        found = _STEP.fullmatch(path)
        if found:
            path = found["before"] + found["name"].replace("/", "%2F") + found["after"]
        environ["PATH_INFO"] = path.encode("utf-8", "surrogateescape").decode("latin-1")
        return self._app(environ, start_response)


def _of_dagu2(path: str, environ: "WSGIEnvironment") -> str:
    try:
        found = read_request(path, environ.get("QUERY_STRING", ""))
    except Problem as problem:
        environ.setdefault(REFUSED, problem)
        return path
    if found is None:
        return path
    environ[ASKED_HERE] = True
    environ["QUERY_STRING"] = found[1]
    return found[0]


def _segments(environ: "WSGIEnvironment") -> str:
    """Return the path with escaped segments. The raw path is used only if it decodes to ``PATH_INFO``."""
    decoded = str(environ.get("PATH_INFO", "/")).encode("latin-1").decode("utf-8", "replace")
    raw = str(environ.get("RAW_URI") or environ.get("REQUEST_URI") or "").encode("latin-1").decode("utf-8", "replace")
    if "://" in raw.partition("?")[0]:
        raw = "/" + raw.partition("://")[2].partition("/")[2]
    raw = raw.partition("?")[0]
    if "%" not in raw and raw == decoded:
        return raw
    if unquote(raw, errors="replace") != decoded:
        raw = decoded.replace("%", "%25")
    return "/".join(_escape(unquote(segment, errors="replace")) for segment in raw.split("/"))


def _escape(segment: str) -> str:
    return segment.replace("%", "%25").replace("/", "%2F")
