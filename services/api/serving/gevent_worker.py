"""gunicorn's worker process of greenlets, which closes connections that nobody uses and answers in one segment."""

import time
from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

__all__ = ["GreenWorker"]

_LINGER_S = 1.0
"""How long an idle connection stays open once the end has come, for a request that may be on its way already."""
_LOOK_EVERY_S = 0.25


class GreenWorker(GeventWorker):  # type: ignore[misc]
    """A greenlet for each connection; idle ones, and those that send no whole request, are closed after a while."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cfg: Any = _Config(self.cfg)
        self._waiting = _Waiting()
        self._ending_since_s = 0.0

    def run(self) -> None:
        gevent.spawn(self._close_idle)
        super().run()

    def timeout_ctx(self) -> Any:
        """Return what gunicorn waits in for a connection's next request: it ends in silence when the time is up."""
        return self._waiting

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Begin the end (SIGTERM)."""
        self._ending_since_s = time.monotonic()
        super().handle_exit(sig, frame)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        super().handle(listener, _Connection(client), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        sock.hold_head()
        try:
            super().handle_request(listener_name, req, sock, addr)
        finally:
            sock.flush()

    def _close_idle(self) -> None:
        # One look at all of them, instead of a timer that each request sets and takes back.
        while True:
            gevent.sleep(_LOOK_EVERY_S)
            allowed_s = self.cfg.keepalive if self.alive else _LINGER_S
            self._waiting.end_before(time.monotonic() - allowed_s, grace_since_s=self._ending_since_s)


class _Config:
    """gunicorn's settings, each worked out once: its own are looked up and checked again some 25 times a request."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg
        vars(self).update({name: getattr(cfg, name) for name in cfg.settings})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


class _Idle(Exception):
    """Thrown into a greenlet that waited long enough for a request."""


class _Waiting:
    """Context of a greenlet that waits for a request; shared by all."""

    def __init__(self) -> None:
        self._since_s: dict[Any, float] = {}

    def __enter__(self) -> None:
        self._since_s[gevent.getcurrent()] = time.monotonic()

    def __exit__(self, kind: object, *_: object) -> bool:
        del self._since_s[gevent.getcurrent()]
        return kind is _Idle

    def end_before(self, moment_s: float, *, grace_since_s: float) -> None:
        """End the wait of those that waited at ``moment_s`` and ``grace_since_s`` already."""
        for waiting, since_s in list(self._since_s.items()):
            if max(since_s, grace_since_s) < moment_s:
                # The hub is who may throw, and by then a request may have come.
                gevent.get_hub().loop.run_callback(self._end, waiting)

    def _end(self, waiting: Any) -> None:
        if waiting in self._since_s:
            waiting.throw(_Idle)


class _Connection:
    """A socket that sends an answer's head together with the first piece of its body, as gunicorn does not.

    To a client two segments are two reads, and to this process two calls of the system.
    """

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.recv = socket.recv
        self._holds = False
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def hold_head(self) -> None:
        """Keep what is sent next until something else is, or ``flush``: gunicorn sends a head and goes on at once."""
        self._holds = True

    def sendall(self, data: bytes) -> None:
        if self._holds:
            self._holds, self._held = False, data
            return
        if self._held:
            data, self._held = self._held + data, b""
        # gevent's sendall begins with asking the kernel how much it can take.
        sent = self._socket.send(data)
        if sent < len(data):
            self._socket.sendall(memoryview(data)[sent:])

    def sendfile(self, *args: Any, **kwargs: Any) -> Any:
        self.flush()
        return self._socket.sendfile(*args, **kwargs)

    def flush(self) -> None:
        """Send what is held."""
        self._holds = False
        if self._held:
            self.sendall(b"")
