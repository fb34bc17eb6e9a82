"""The server of the application in ``dagway api``: gunicorn.

Apart from ``server``, because ``dagway up`` needs no gunicorn: the import takes 2 % of its start.
"""

import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http.errors import ParseException

from services.api.serving.greenlets import is_green
from shared.garbage import freeze_loaded
from shared.system.rights import stop_with_parent
from shared.system.sockets import give_up_stalled

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["MOST_STREAMS", "run_gunicorn"]

_GRACE_S = 5
_STALL_S = 60
"""How long a client may read nothing while an answer waits for it."""
_CONNECTIONS = 1000
MOST_STREAMS = _CONNECTIONS // 2
"""How many event streams may be open with greenlets. Each takes a connection, but no place in the concurrency limit."""


def _die_with(arbiter: Any, _worker: object) -> None:
    """Make the kernel kill a worker process when its arbiter dies: an orphan would hold the port for seconds."""
    if stop_with_parent(signal.SIGKILL) and os.getppid() != arbiter.pid:
        os.kill(os.getpid(), signal.SIGKILL)


def _limit_stalls(stall_s: float) -> Callable[[Any], None]:
    """Return the hook that ends connections whose client reads nothing for ``stall_s``, where the system can do so."""

    def when_ready(arbiter: Any) -> None:
        for listener in arbiter.LISTENERS:
            give_up_stalled(listener.sock, stall_s)

    return when_ready


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, app_factory: "Callable[[], WSGIApplication]", settings: Mapping[str, Any]) -> None:
        self._factory = app_factory
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

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
    workers: int = 1,
    threads: int = 40,
    graceful_timeout_s: int = _GRACE_S,
    stall_s: float = _STALL_S,
) -> None:
    """Serve until a signal ends the process. Must be called in the main thread. Uses greenlets if the process does.

    ``app_factory`` is called in each worker process after the fork, so its sockets, threads and pools belong to the
    worker process. With several worker processes, ``/metrics`` shows the process metrics of only one of them; the
    ``dagu_*`` series come from the database and stay correct.
    """
    settings = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers,
        "threads": threads,
        "worker_connections": _CONNECTIONS,
        "worker_class": "services.api.serving.gevent_worker.GreenWorker" if is_green() else "gthread",
        "preload_app": False,
        # No proxy headers are evaluated, so gunicorn need not compare addresses at each request.
        "forwarded_allow_ips": "*",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "post_fork": _die_with,
        "when_ready": _limit_stalls(stall_s),
        "control_socket_disable": True,
        "graceful_timeout": graceful_timeout_s,
        "timeout": 60,
        "keepalive": 15,
        "accesslog": None,
        "errorlog": "-",
        "logger_class": _Log,
        "proc_name": "dagway-api",
    }
    _Gunicorn(app_factory, settings).run()
