"""Limits how many requests compute at once. A request that waits for a run gives its place back meanwhile."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["WITHOUT_PLACE", "Places"]

WITHOUT_PLACE = "dagway.without_place"
"""The key, in the WSGI environment, of the function that returns the context in which a request waits without place."""
_PROBES = frozenset({"/healthz", "/readyz"})
Context = Callable[[], AbstractContextManager[None]]


class Semaphore(Protocol):
    """A semaphore of threads or of greenlets."""

    def acquire(self) -> object:
        """Wait for a place and take it."""

    def release(self) -> object:
        """Give a place back."""


class Places:
    """WSGI middleware that passes on as many requests at once as ``semaphore`` has places.

    A request gives its place back when its response begins, so an event stream holds none. Probes need none: they are
    answered in time even while all places wait for a database that hangs.
    ``waiting``: the context in which requests and event streams wait.
    """

    def __init__(self, app: "WSGIApplication", semaphore: Semaphore, waiting: Context = nullcontext) -> None:
        self._app = app
        self._semaphore = semaphore
        self._waiting = waiting

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] in _PROBES:
            return self._app(environ, start_response)
        place = _Place(self._semaphore, self._waiting)
        environ[WITHOUT_PLACE] = place.given_back
        with place:
            return self._app(environ, start_response)


class _Place:
    """The place of one request."""

    def __init__(self, semaphore: Semaphore, waiting: Context) -> None:
        self._semaphore = semaphore
        self._waiting = waiting
        self._held = False

    def __enter__(self) -> None:
        self._semaphore.acquire()
        self._held = True

    def __exit__(self, *_: object) -> None:
        # A greenlet that a shutdown ends while it waits to have its place again holds none.
        if self._held:
            self._held = False
            self._semaphore.release()

    @contextmanager
    def given_back(self) -> Iterator[None]:
        # An event stream waits after its response has begun, and holds none.
        held = self._held
        self.__exit__()
        try:
            with self._waiting():
                yield
        finally:
            if held:
                self.__enter__()
