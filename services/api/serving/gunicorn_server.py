"""The server of the application in ``dagway api``: a worker of gunicorn, without gunicorn's master process.

The master would restart a worker that died, which is what the supervisor of the container or service does anyway, and
it held 18 MB of memory of its own: a page is copied as soon as either process changes one reference count in it.

Apart from ``waitress_server``, because ``dagway up`` needs no gunicorn: the import takes 2 % of its start.
"""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException
from gunicorn.sock import create_sockets

from services.api.serving.greenlets import is_green
from shared.garbage import freeze_loaded
from shared.system.sockets import give_up_stalled

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["MOST_GREEN_FOLLOWERS", "run_gunicorn"]

_GRACE_S = 5
_STALL_S = 60
"""How long a client may read nothing while an answer waits for it."""
_HANG_S = 60
"""How long the process may serve nothing before it ends, as gunicorn's master would end it."""
_CONNECTIONS = 1000
MOST_GREEN_FOLLOWERS = _CONNECTIONS // 2
"""How many event streams may be open, and requests may wait for a run, with greenlets.

Each takes a connection, but no place in the concurrency limit.
"""


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(
        self,
        app_factory: "Callable[[], WSGIApplication]",
        settings: Mapping[str, Any],
        stall_s: float,
        on_stop: Callable[[], None],
    ) -> None:
        self._factory = app_factory
        self.on_stop = on_stop
        self._settings = settings
        self._stall_s = stall_s
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def run(self) -> None:
        """Do in this process what gunicorn's master does in a worker process that it has forked."""
        log = self.cfg.logger_class(self.cfg)
        listeners = create_sockets(self.cfg, log)
        for listener in listeners:
            give_up_stalled(listener.sock, self._stall_s)
        worker = self.cfg.worker_class(1, os.getppid(), listeners, self, self.cfg.timeout, self.cfg, log)
        worker.pid = os.getpid()
        worker.init_process()

    def load(self) -> "WSGIApplication":
        app = self._factory()
        freeze_loaded()
        if not is_green():
            return _with_readable_bodies(app)
        from services.api.serving.concurrency_limit import ConcurrencyLimit  # noqa: PLC0415 - needs gevent, which takes 50 ms to import

        return _with_readable_bodies(ConcurrencyLimit(app, self._settings["threads"]))


class _Body:
    """The body of a request. A chunk without a valid length is an ``OSError``, as a body that ends early is."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int | None = None) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except ParseException as error:
            raise OSError(str(error)) from error
        return data


def _with_readable_bodies(app: "WSGIApplication") -> "WSGIApplication":
    def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["wsgi.input"] = _Body(environ["wsgi.input"])
        return app(environ, start_response)

    return serve


class _Log(Logger):  # type: ignore[misc]
    """Passes gunicorn's log lines to the logging of this process, which has its own format and level."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)


def run_gunicorn(
    app_factory: "Callable[[], WSGIApplication]",
    host: str,
    port: int,
    *,
    threads: int = 40,
    graceful_timeout_s: int = _GRACE_S,
    stall_s: float = _STALL_S,
    hang_s: int = _HANG_S,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal ends the process. Must be called in the main thread. Uses greenlets if the process does.

    ``app_factory`` is called when the port is bound. ``stall_s``: how long a client may read nothing while an answer
    waits for it, where the system can end such connections. ``hang_s``: after how long a process that hangs, so that
    no greenlet runs but one, ends with exit code 1. ``on_stop`` is called when a process on greenlets begins to end:
    requests that wait must end within ``graceful_timeout_s``.
    """
    settings = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": 1,
        "threads": threads,
        "worker_connections": _CONNECTIONS,
        "worker_class": "services.api.serving.gevent_worker.GreenWorker" if is_green() else "gthread",
        "preload_app": False,
        # No proxy headers are evaluated, so gunicorn need not compare addresses at each request.
        "forwarded_allow_ips": "*",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "graceful_timeout": graceful_timeout_s,
        "timeout": hang_s,
        "keepalive": 15,
        "accesslog": None,
        "errorlog": "-",
        "logger_class": _Log,
    }
    _Gunicorn(app_factory, settings, stall_s, on_stop).run()
