"""The services of a gateway, built on its open connections."""

import time
from collections.abc import Callable
from threading import Event

from services.api.caches.run_totals import RunTotals
from services.api.caches.workspaces import CachesOfWorkspaces
from services.api.command_client import Commands
from services.api.deps import Deps
from services.api.machine_load import Resources
from services.api.observability.request_metrics import AUDIT_DROPPED
from services.api.settings import Settings
from shared.clock import utc_now
from shared.store.clock import StoreClock
from shared.store.reads.reader import Reads
from shared.transport.base import Transport

__all__ = ["build_deps"]


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
    clock: StoreClock | None = None,
) -> Deps:
    """Return the application's services, which use the open connections, and start their background threads.

    ``closing``: see ``Deps``. ``clock``: follows the time of the database from now on.
    """
    clock, began_s = clock or StoreClock(utc_now), time.monotonic()
    reads.clock = clock
    deps = Deps(
        transport=transport,
        commands=Commands(transport, clock, reply_timeout_s=command_wait_s),
        reads=reads,
        clock=clock,
        version=version,
        uptime_s=lambda: time.monotonic() - began_s,
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
