"""Limits how many requests a gateway with greenlets answers at once, and reads their bodies before."""

from collections.abc import Iterable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from gevent import Timeout, sleep
from gevent.lock import BoundedSemaphore

from services.api.problems import REFUSED, Problem, broken_body, too_slow, unavailable
from services.api.serving.places import Places

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["ConcurrencyLimit"]

_LONGEST_BYTES = 4 * 1024 * 1024
"""Longer bodies are not read here: the application accepts less and returns 413 without reading them."""
_PIECE_BYTES = 64 * 1024
_HELD_BYTES = 64 * 1024 * 1024
"""Limit of the total size of all bodies in memory, of waiting and of running requests."""


class _Turns:
    """A semaphore of greenlets that lets those go first that have waited longest.

    gevent's own gives a free place to the next that asks. So a client that sends requests without waiting for responses
    took the place of its last request each time, and the requests of all others had to wait.
    """

    def __init__(self, most: int) -> None:
        self._places = BoundedSemaphore(most)
        self._waiting = 0

    def acquire(self) -> None:
        if self._waiting:
            sleep(0)  # a place that was just given back goes to one that waits for it
        self._waiting += 1
        try:
            self._places.acquire()
        finally:
            self._waiting -= 1

    def release(self) -> None:
        self._places.release()


class ConcurrencyLimit:
    """WSGI middleware that passes on at most ``most`` requests at once, as ``Places`` does.

    It reads the body of a request before the request waits for a place, so slow clients do not delay others. If a body
    is too slow or broken, or there is no memory for it, the request is passed on with a ``Problem`` in
    ``environ[REFUSED]``.
    """

    def __init__(self, app: "WSGIApplication", most: int, *, body_timeout_s: float = 60) -> None:
        self._app = app
        self._with_place = Places(app, _Turns(most))
        self._body_timeout_s = body_timeout_s
        self._held_bytes = 0

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if "HTTP_TRANSFER_ENCODING" in environ:
            size = _LONGEST_BYTES
        if size == 0 or size > _LONGEST_BYTES:
            return self._with_place(environ, start_response)
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
                # The length of the body is known now, so the application can check it and return 413.
                environ["CONTENT_LENGTH"] = str(len(body))
            return self._with_place(environ, start_response)
        finally:
            self._held_bytes -= len(body)

    def _read(self, stream: Any, size: int, body: bytearray) -> Problem | None:
        """Read at most ``size`` bytes into ``body``.

        Return a 503 if all bodies together exceed the memory limit, a 400 if the body is broken.
        """
        while len(body) < size:
            if self._held_bytes > _HELD_BYTES:
                return unavailable("The server receives too many request bodies; nothing was changed. Try again soon.")
            try:
                piece = stream.read(min(_PIECE_BYTES, size - len(body)))
            except OSError:
                return broken_body()
            if not piece:
                break
            body += piece
            self._held_bytes += len(piece)
        return None
