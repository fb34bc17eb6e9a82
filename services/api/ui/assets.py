"""Serves the files of a front end with their media types, compressed if the browser accepts it.

A bundle has megabytes of text, which compression reduces to a third. A file is compressed when it is first requested
and again after it has changed.
"""

import gzip
import mimetypes
from functools import lru_cache
from pathlib import Path

from flask import Response, request, send_from_directory
from werkzeug.security import safe_join

__all__ = ["send_asset"]

_TYPES = {
    ".js": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
    ".json": "application/json",
    ".map": "application/json",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
"""Media types that may be absent or different in the table of the operating system."""
_COMPRESSIBLE = frozenset({".js", ".css", ".html", ".json", ".map", ".txt", ".svg"})
_WORTH_BYTES = 1400
_KEPT = 256
"""How many compressed files are cached in memory."""


def send_asset(folder: Path, name: str) -> Response:
    """Return the file with this name below the folder, or a 304 if the browser has it already.

    Raises:
        NotFound: there is no such file, or the name leads out of the folder.
    """
    suffix = Path(name).suffix
    media_type = _TYPES.get(suffix) or mimetypes.guess_type(name)[0]
    inside = safe_join(str(folder), name)
    path = Path(inside) if inside else folder
    if suffix not in _COMPRESSIBLE or not path.is_file() or path.stat().st_size < _WORTH_BYTES:
        return send_from_directory(folder, name, mimetype=media_type)
    if request.accept_encodings.best_match(("gzip",)) != "gzip":
        response = send_from_directory(folder, name, mimetype=media_type)
    else:
        changed = path.stat().st_mtime_ns
        response = Response(_compressed(path, changed), mimetype=media_type)
        response.headers["Content-Encoding"] = "gzip"
        response.set_etag(f"{changed:x}-gzip")
        response.make_conditional(request)
    response.vary.add("Accept-Encoding")
    return response


@lru_cache(maxsize=_KEPT)
def _compressed(path: Path, _changed: int) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)
