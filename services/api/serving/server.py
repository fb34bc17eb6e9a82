"""The two ways to serve the application: waitress inside a process, gunicorn as one of its own."""

import ctypes
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from waitress import wasyncore
from waitress.server import create_server

from services.api.serving.greenlets import is_green
from shared.errors import ConfigInvalid
from shared.service import freeze_loaded

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["MOST_STREAMS", "EmbeddedServer", "run_gunicorn"]

_log = logging.getLogger(__name__)
_CHANNEL_TIMEOUT_S = 60
_PR_SET_PDEATHSIG = 1
_GRACE_S = 5
_EMBEDDED_CONNECTIONS = 500
"""Idle and slow ones are among them; 100, as waitress has it, is a few browsers and one careless script."""
_CONNECTIONS = 1000
MOST_STREAMS = _CONNECTIONS // 2
"""Event streams at once where greenlets serve: each takes a connection and no place among the requests."""
_SERVER_BODY_LIMIT_BYTES = 64 * 1024 * 1024
"""Far above the application's limit: it is who answers 413 in the API's form; this one only bounds the disk used."""


class EmbeddedServer:
    """Waitress on a thread of this process.

    The port is bound, and ``port`` known, when the constructor returns; requests are answered from
    ``start`` to ``stop``. An address that cannot be listened on is ``ConfigInvalid`` at once.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        host: str,
        port: int,
        *,
        threads: int = 8,
    ) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            listening = socket.create_server((host, port), family=family)
        except OSError as error:
            raise ConfigInvalid(
                f"DAGWAY_HOST, DAGWAY_PORT: cannot listen on {host}, port {port}: {error.strerror}"
            ) from error
        self.port: int = listening.getsockname()[1]
        self._sockets: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._sockets,
            sockets=[listening],
            threads=threads,
            max_request_body_size=_SERVER_BODY_LIMIT_BYTES,
            channel_timeout=_CHANNEL_TIMEOUT_S,
            connection_limit=_EMBEDDED_CONNECTIONS,
            asyncore_use_poll=True,  # select() knows no file number above 1023
            ident="dagway",
        )
        self._thread = threading.Thread(target=self._serve, name="api-server", daemon=True)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout_s: float = _GRACE_S) -> None:
        """Let requests under way end, at most ``timeout_s`` of them, then close every connection."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        # Waitress' own close() waits for open connections; ending the tasks and the socket map does not.
        self._server.task_dispatcher.shutdown(timeout=timeout_s)
        self._server.close()
        wasyncore.close_all(self._sockets)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _serve(self) -> None:
        try:
            self._server.run()
        except Exception:
            # Its sockets vanish under the loop when it is stopped; at any other time that is news.
            if not self._stopping.is_set():
                _log.exception("api.server_broken")
                raise


def _die_with(arbiter: Any, _worker: object) -> None:
    """Let a worker process end with its arbiter: an orphan would keep the port from the next one for seconds."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != arbiter.pid:
            os.kill(os.getpid(), signal.SIGKILL)


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
            return app
        from services.api.serving.concurrency_limit import ConcurrencyLimit  # noqa: PLC0415 - needs gevent, which takes 50 ms to import

        return ConcurrencyLimit(app, self._settings["threads"])


class _Log(Logger):  # type: ignore[misc]
    """What gunicorn says goes the way of all other lines, in the same form and from the same level on."""

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
) -> None:
    """Serve until a signal ends the process; needs the main thread. Greenlets serve where the process is green.

    ``app_factory`` runs in each worker process after the fork, so that what it opens (sockets,
    threads, pools) belongs to that process. More than one worker process splits what ``/metrics``
    says about the process itself; the ``dagu_*`` series come from the database and stay right.
    """
    settings = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": workers,
        "threads": threads,
        "worker_connections": _CONNECTIONS,
        "worker_class": "services.api.serving.gevent_worker.GreenWorker" if is_green() else "gthread",
        "preload_app": False,
        # What a proxy says of the caller's scheme or path is nobody's to say to gunicorn: no header is taken from
        # anyone, so it need not compare addresses at each request either.
        "forwarded_allow_ips": "*",
        "secure_scheme_headers": {},
        "forwarder_headers": "",
        "post_fork": _die_with,
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
