"""Bodies of HTTP responses, decoded as their ``Content-Encoding`` says."""

import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import DecodeError

__all__ = ["body_pieces"]

_PIECE = 65_536


def body_pieces(response: BaseHTTPResponse) -> Iterator[bytes]:
    """Yield the body piece by piece, each as soon as it has come.

    Raises:
        HTTPError: the connection failed, the body ended early, or it cannot be decoded.
    """
    if response.headers.get("Content-Encoding", "").strip().lower() not in {"gzip", "x-gzip"}:
        yield from iter(partial(response.read1, _PIECE, decode_content=True), b"")
        return
    # The library takes a gzip body that was cut off for a whole one.
    sent: Any = SimpleNamespace(read=partial(response.read1, decode_content=False))
    with gzip.GzipFile(fileobj=sent, mode="rb") as body:
        try:
            yield from iter(partial(body.read1, _PIECE), b"")
        except EOFError as error:
            raise DecodeError("it ended early") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise DecodeError(str(error)) from error
