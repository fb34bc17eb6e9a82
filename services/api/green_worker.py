"""gunicorn's worker process of greenlets, with an end that does not wait for connections nobody is using."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

__all__ = ["GreenWorker"]

_LINGER_S = 1.0
"""How long an idle connection stays open once the end has come, for a request that may be on its way already."""


class GreenWorker(GeventWorker):  # type: ignore[misc]
    """A greenlet for each connection; idle ones, and those that send no whole request, are closed after a while."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: dict[Any, gevent.Timeout] = {}

    def timeout_ctx(self) -> Any:
        """Return what gunicorn waits in for a connection's next request: it ends in silence when the time is up."""
        return self._waiting()

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        mine = gevent.getcurrent()
        with gevent.Timeout(self.cfg.keepalive if self.alive else _LINGER_S, False) as timer:
            self._idle[mine] = timer
            try:
                yield
            finally:
                del self._idle[mine]

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin the end (SIGTERM)."""
        super().handle_exit(sig, frame)
        gevent.spawn_later(_LINGER_S, self._close_idle)

    def _close_idle(self) -> None:
        for connection, timer in list(self._idle.items()):
            gevent.kill(connection, timer)
