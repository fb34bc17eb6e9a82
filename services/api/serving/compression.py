"""Compression of answers, gzip or deflate, for clients that accept it and where it saves enough."""

import gzip
import zlib

from flask import Request, Response

__all__ = ["compress"]

_WORTH_BYTES = 1400
"""About the size of one packet; smaller answers gain nothing."""
_LEVEL = 1
"""The fastest level shrinks JSON to a tenth; the others cost several times as much for little more."""
_TYPES = ("application/json", "text/plain", "text/html")


def compress(request: Request, response: Response) -> None:
    """Compress the body in place if client, type and size allow; streams and files stay as they are."""
    if response.is_streamed or response.direct_passthrough:
        return
    data = response.get_data()
    if len(data) < _WORTH_BYTES or response.mimetype not in _TYPES or "Content-Encoding" in response.headers:
        return
    response.vary.add("Accept-Encoding")
    chosen = request.accept_encodings.best_match(("gzip", "deflate"))
    if chosen == "gzip":
        response.set_data(gzip.compress(data, _LEVEL, mtime=0))
    elif chosen == "deflate":
        response.set_data(zlib.compress(data, _LEVEL))
    else:
        return
    response.headers["Content-Encoding"] = chosen
