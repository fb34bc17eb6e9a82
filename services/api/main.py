"""Composition root of the gateway as a process of its own: store, transport and application."""

import atexit
import logging
import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

from services.api.app import create_app
from services.api.caches.run_totals import RunTotals
from services.api.caches.workspaces import CachesOfWorkspaces
from services.api.command_client import Commands
from services.api.deps import Deps
from services.api.machine_load import Resources
from services.api.observability.request_metrics import AUDIT_DROPPED
from services.api.settings import Settings, warn_if_open
from shared.clock import utc_now
from shared.language.model import build_validators
from shared.store.clock import StoreClock
from shared.store.reads.reader import Reads
from shared.transport.base import Transport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["build_deps", "run_api"]

_log = logging.getLogger(__name__)


def build_deps(
    *,
    transport: Transport,
    reads: Reads,
    version: str,
    settings: Settings,
    base_path: str = "",
    max_dag_series: int = 1000,
    command_wait_s: float = 5,
    own_trouble: Callable[[], str] = lambda: "",
    closing: Event | None = None,
) -> Deps:
    """Return the application's services, which use the open connections, and start their background threads.

    ``closing``: see ``Deps``.
    """
    clock, began_s = StoreClock(utc_now), time.monotonic()
    reads.clock = clock
    deps = Deps(
        transport=transport,
        commands=Commands(transport, clock, reply_timeout_s=command_wait_s),
        reads=reads,
        clock=clock,
        version=version,
        uptime_s=lambda: time.monotonic() - began_s,
        zone=settings.zone,
        base_path=base_path,
        settings=settings,
        resources=Resources(settings.data_dir),
        totals=RunTotals(max_dags=max_dag_series),
        of_workspaces=CachesOfWorkspaces(max_dags=max_dag_series),
        own_trouble=own_trouble,
        closing=closing or Event(),
    )
    deps.audit.on_drop = AUDIT_DROPPED.inc
    deps.resources.begin(deps.closing)
    if settings.builtin:
        deps.first_user.begin()
    return deps


def run_api(
    *,
    host: str,
    port: int,
    open_transport: Callable[[], Transport],
    open_reads: Callable[[], Reads],
    version: str,
    settings: Settings,
    base_path: str,
    max_dag_series: int,
    command_wait_s: float,
    on_open: Callable[[Deps], None],
    threads: int,
) -> None:
    """Serve the API until the process gets a signal to end.

    ``open_transport``, ``open_reads`` and then ``on_open`` are called when the port is bound.
    ``open_transport`` and ``open_reads`` must not fail if their server is down: a gateway starts without the broker
    or the database, and returns 503 until both are available.
    """
    # It starts a process when it is imported. Later, a real thread beside the greenlets could not do that.
    import croniter  # noqa: F401, PLC0415

    closing = Event()

    def make() -> "WSGIApplication":
        deps = build_deps(
            transport=open_transport(),
            reads=open_reads(),
            version=version,
            settings=settings,
            base_path=base_path,
            max_dag_series=max_dag_series,
            command_wait_s=command_wait_s,
            closing=closing,
        )
        on_open(deps)

        def stop() -> None:
            deps.audit.close()
            # Else the broker takes the end of its connections for a failure, and warns.
            deps.transport.close()
            _log.info("api.stopped", extra={"host": host, "port": port})

        atexit.register(stop)
        _log.info("api.started", extra={"host": host, "port": port})
        return create_app(deps)

    # Imported here, because ``dagway up`` uses this module, but not gunicorn.
    from services.api.serving.gunicorn_server import run_gunicorn  # noqa: PLC0415

    # Requests on greenlets parse specs in real threads.
    build_validators()
    warn_if_open(settings, host)
    run_gunicorn(make, host, port, threads=threads, on_stop=closing.set)
