"""Compresses responses with gzip or deflate, if the client accepts it and the body is large enough."""

import gzip
import zlib

from flask import Request, Response

__all__ = ["compress"]

_WORTH_BYTES = 1400
"""About the size of one packet: compressing a smaller body saves no packet."""
_LEVEL = 1
"""The fastest level shrinks JSON to a tenth. Higher levels cost several times as much and save little more."""
_TYPES = ("application/json", "text/plain", "text/html")


def compress(request: Request, response: Response) -> None:
    """Compress the body in place, depending on client, media type and size. Streams and files are not changed."""
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
