"""A subclass of gunicorn's gevent worker that also closes idle connections, and ends without resetting new ones."""

import errno
import faulthandler
import itertools
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import gevent
from gevent.server import StreamServer
from gunicorn.util import write_error
from gunicorn.workers.ggevent import GeventWorker

from services.api.serving.tls_hello import ADVICE, begins_tls

__all__ = ["GreenWorker"]

_LINGER_S = 1.0
"""How long an idle connection stays open after SIGTERM, for a request that may be on its way."""
_LONGEST_HELLO = 65_536
_CHECK_EVERY_S = 1.0
_CHECK_AT_END_S = 0.25
_SPARE_CONNECTIONS = 20
"""With fewer left, a connection that begins to wait for a request ends the one that has waited longest for it."""
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)


class GreenWorker(GeventWorker):  # type: ignore[misc]
    """Serves each connection in a greenlet. Closes a connection without a complete request after ``keepalive`` s.

    Overrides only methods that gunicorn intends worker classes to override.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting = _Waiting()
        self._ending_since_s = 0.0

    def run(self) -> None:
        hub = gevent.get_hub()
        # gevent writes a traceback of each other error to standard error.
        hub.NOT_ERROR = (*hub.NOT_ERROR, _NoRoom)
        gevent.spawn(self._close_idle)
        super().run()

    def notify(self) -> None:
        """End the process, with the stacks of its threads in the log, if it does not come here again in time.

        gunicorn calls this every second. Its own would tell the master, and end the process when its parent ends.
        """
        # Each call starts a thread. Where other processes have used up all, the gateway goes on without this guard, and
        # the next call tries again.
        with suppress(RuntimeError):
            faulthandler.dump_traceback_later(self.timeout, exit=True)

    def server_class(self, listener: Any, *, spawn: Any, **_: Any) -> "_Listening":
        """Return the server of a listener, like the one that gunicorn makes without a ``server_class``."""
        self._waiting.few_left = lambda: spawn.free_count() < _SPARE_CONNECTIONS
        return _Listening(listener, handle=partial(self.handle, _Named(listener.getsockname())), spawn=spawn)

    def timeout_ctx(self) -> Any:
        """Return the context manager in which gunicorn waits for the next request of a connection."""
        return self._waiting

    def handle(self, listener: Any, client: Any, addr: Any) -> Any:
        """Serve a connection. Refuse a TLS handshake at once: gunicorn waits for the end of a line, the client too."""
        begin = b""
        with self._waiting, suppress(OSError):
            begin = client.recv(1, socket.MSG_PEEK)
        if begin and not begins_tls(begin):
            return super().handle(listener, client, addr)
        with client, suppress(OSError):
            if begin:
                client.recv(_LONGEST_HELLO)  # Closing a connection with unread bytes resets it, also for the answer.
                write_error(client, 400, "Bad Request", ADVICE)
        return None

    def handle_request(self, *args: Any) -> Any:
        """Answer a request. A client that stalled for too long counts as gone, which gunicorn does not log."""
        try:
            return super().handle_request(*args)
        except TimeoutError as error:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Record when the shutdown began (SIGTERM)."""
        self._ending_since_s = time.monotonic()
        super().handle_exit(sig, frame)

    def _close_idle(self) -> None:
        # One loop checks all connections: cheaper than a timer that each request sets and cancels.
        stopping = False
        while True:
            gevent.sleep(_CHECK_EVERY_S if self.alive else _CHECK_AT_END_S)
            if not self.alive and not stopping:
                stopping = True
                self.app.on_stop()
            allowed_s = self.cfg.keepalive if self.alive else _LINGER_S
            self._waiting.end_before(time.monotonic() - allowed_s, grace_since_s=self._ending_since_s)


class _Named:
    """Stands for a listener: gunicorn asks for its name when it has a connection, and it may be closed by then."""

    def __init__(self, name: Any) -> None:
        self._name = name

    def getsockname(self) -> Any:
        return self._name


class _Listening(StreamServer):  # type: ignore[misc]
    """Accepts the connections of one listener. ``close`` first accepts all that wait in the kernel's queue.

    The kernel resets those that are left there, and their clients cannot know whether the request was carried out. On a
    busy machine some wait there for a tenth of a second.
    """

    def do_read(self) -> Any:
        """Accept a connection. If the process may open no more files, log it; gevent tries again within a second."""
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            _log.error(
                "connections.wait",
                extra={"error": str(error), "next": "raise the limit of open files: ulimit -n, LimitNOFILE"},
            )
            raise _NoRoom(error.errno, error.strerror) from None

    def close(self) -> None:
        try:
            while not self.closed and not self.full() and (waiting := self.do_read()) is not None:
                self.do_handle(*waiting)
        finally:
            super().close()


class _NoRoom(OSError):
    """No connection can be accepted now, which is logged already."""


class _Idle(Exception):
    """Raised in a greenlet that has waited too long for a request."""


class _Waiting:
    """The context manager in which a greenlet waits for a request. All greenlets share one instance.

    One that begins to wait while ``few_left()`` ends the wait of the one that has waited longest. A new connection is
    not enough of an occasion: while all places are taken, none is accepted.
    """

    def __init__(self) -> None:
        self._since_s: dict[Any, float] = {}
        self.few_left: Callable[[], bool] = lambda: False

    def __enter__(self) -> None:
        if self.few_left():
            self._end_longest()
        self._since_s[gevent.getcurrent()] = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> bool:
        del self._since_s[gevent.getcurrent()]
        return kind is _Idle

    def end_before(self, moment_s: float, *, grace_since_s: float) -> None:
        """End the wait of all greenlets that have waited since before ``moment_s``.

        In a shutdown, waits count from ``grace_since_s`` at the earliest: each connection has a grace period.
        """
        for waiting, since_s in list(self._since_s.items()):
            if max(since_s, grace_since_s) < moment_s:
                # Only the hub may raise in a greenlet. ``_end`` checks again, as a request may arrive before that.
                gevent.get_hub().loop.run_callback(self._end, waiting)

    def _end_longest(self) -> None:
        for waiting in itertools.islice(self._since_s, 1):
            gevent.get_hub().loop.run_callback(self._end, waiting)

    def _end(self, waiting: Any) -> None:
        if waiting in self._since_s:
            waiting.throw(_Idle)
