"""How many requests a gateway of greenlets answers at once, which one of threads limits by itself."""

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gevent import Timeout
from gevent.lock import BoundedSemaphore

from services.api.problems import REFUSED, Problem, too_slow, unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ConcurrencyLimit"]

_ALIVE = "/healthz"
_LONGEST_BYTES = 4 * 1024 * 1024
"""More than the application takes of a body: it says so, and reads none of it."""
_PIECE_BYTES = 64 * 1024
_HELD_BYTES = 64 * 1024 * 1024
"""All bodies of requests that wait for a place or have one, together."""


class ConcurrencyLimit:
    """WSGI layer that lets in so many requests at once; the others wait, each with its body read already.

    So clients that send slowly keep nobody waiting. Whether the process is alive is told at any time; streams
    count until they are open. What cannot be let in is the application's to refuse, with the problem it is given.
    """

    def __init__(self, app: "WSGIApplication", most: int, *, body_timeout_s: float = 60) -> None:
        self._app = app
        self._places = BoundedSemaphore(most)
        self._body_timeout_s = body_timeout_s
        self._held_bytes = 0

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] == _ALIVE:
            return self._app(environ, start_response)
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if "HTTP_TRANSFER_ENCODING" in environ:
            size = _LONGEST_BYTES
        if size == 0 or size > _LONGEST_BYTES:
            with self._places:
                return self._app(environ, start_response)
        body = bytearray()
        try:
            refused: Problem | None = too_slow()
            with Timeout(self._body_timeout_s, False):
                refused = self._read(environ["wsgi.input"], size, body)
            if refused is not None:
                environ[REFUSED] = refused
                return self._app(environ, start_response)
            environ["wsgi.input"] = BytesIO(body)
            if environ.pop("HTTP_TRANSFER_ENCODING", None) is not None:
                # Its length is known now, so that the application can say that it is too much.
                environ["CONTENT_LENGTH"] = str(len(body))
            with self._places:
                return self._app(environ, start_response)
        finally:
            self._held_bytes -= len(body)

    def _read(self, stream: Any, size: int, body: bytearray) -> Problem | None:
        """Read ``size`` bytes into ``body``, or all there are; return why not if that cannot be."""
        while len(body) < size:
            if self._held_bytes > _HELD_BYTES:
                return unavailable("Too many bodies are under way; nothing was changed.")
            piece = stream.read(min(_PIECE_BYTES, size - len(body)))
            if not piece:
                break
            body += piece
            self._held_bytes += len(piece)
        return None
