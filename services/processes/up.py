"""``dagway up``: all services by one command, on SQLite and the in-process transport.

The scheduler and the gateway are in this process, the worker in one of its own (``worker_process``).
"""

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

from services.api.app import create_app
from services.api.assembly import build_deps
from services.api.observability.request_metrics import DaguCollector
from services.api.serving.waitress_server import EmbeddedServer
from services.api.settings import settings_from, warn_if_open
from services.processes.admin import OptionalAdminServer
from services.processes.base_config import read_base_config
from services.processes.database import time_limits
from services.processes.scheduler import make_scheduler, scheduler_settings, written_files
from services.processes.sealing import stored_secret_keys
from services.processes.signing import message_signing
from services.processes.worker_process import WorkerProcess
from services.scheduler.metrics import JUDGED_AGE, BacklogCollector, limit_dag_series
from services.worker.reporting.metrics import WorkerCollector
from shared.clock import utc_now
from shared.disk import DiskCheck, Volume
from shared.garbage import freeze_loaded
from shared.metrics import ProcessCollector
from shared.moved_folder import require_open
from shared.private_files import others_can_enter
from shared.secret_box import SecretBox
from shared.service import wait_for_stop
from shared.settings.command_defaults import command_wait_s
from shared.settings.config import Config
from shared.spans import start_sending, stop_sending
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads.backlog import BacklogReads
from shared.store.reads.reader import Reads
from shared.store.reads.schema_metric import SchemaCollector
from shared.store.room_metrics import DatabaseSizeCollector
from shared.store.writes.transaction import Store
from shared.transport.embedded.link_server import LinkServer
from shared.transport.embedded.transport import EmbeddedTransport
from shared.transport.open import open_transport

__all__ = ["run_up"]

_log = logging.getLogger(__name__)
_SWITCH_S = 0.0005
"""Python's thread switch interval. Waits for thread switches are most of this mode's latency; the default is 5 ms."""


def run_up(
    config: Config,
    version: str,
    stop: threading.Event,
    on_death: Callable[[], None],
    *,
    worker: WorkerProcess,
    echo: Callable[[str], None],
) -> None:
    """Run all services until ``stop`` is set. ``echo`` prints the address and commands to try."""
    settings = scheduler_settings(
        config, version, base_config=read_base_config(config), dag_files=written_files(config, "up")
    )
    gateway_settings = settings_from(config, "up")
    signed = message_signing(config, "api", "scheduler", "worker")
    sys.setswitchinterval(_SWITCH_S)
    start_sending("dagway")
    _open_data_folder(config)
    gateway_settings = replace(gateway_settings, secret_box=SecretBox(stored_secret_keys(config)))
    database_url = config.database_url or f"sqlite:///{config.data_dir / 'dagway.db'}"
    # Before the migration: this fails if another process, perhaps of an earlier version, uses the folder.
    transport = signed(open_transport(config.amqp_url or "embedded:", name="dagway", data_dir=config.data_dir), utc_now)
    # Closed even if a later line fails: otherwise the next start would count every message as returned once more.
    with closing(transport):
        migrate(database_url, stop=stop)
        limits = time_limits(config)
        engine = open_engine(database_url, pool_size=12, limits=limits)
        reads = Reads(open_engine(database_url, pool_size=config.api_threads + 2, read_only=True, limits=limits))
        limit_dag_series(config.metrics_dags)
        store = Store(engine)
        scheduler = make_scheduler(config, settings, store, transport, on_death)
        deps = build_deps(
            transport=transport,
            reads=reads,
            version=version,
            settings=gateway_settings,
            base_path=config.base_path,
            max_dag_series=config.metrics_dags,
            command_wait_s=command_wait_s(config, "up"),
            own_trouble=DiskCheck(config.data_dir).problem,
        )
        # Both servers bind here, before the scheduler's threads start: if a port is taken, there is nothing to stop.
        server = EmbeddedServer(
            create_app(deps), config.host, config.port, threads=config.api_threads, on_death=on_death
        )
        admin = OptionalAdminServer(config, lambda: worker.facts().trouble or scheduler.trouble)
        warn_if_open(gateway_settings, config.host)
        freeze_loaded()
        JUDGED_AGE.set_function(lambda: scheduler.judged_age_s)
        scheduler.start()
        link = LinkServer(transport, worker.link) if isinstance(transport, EmbeddedTransport) else None
        worker.begin(on_death)
        server.start()
        backlog = BacklogReads(engine)
        admin.add(ProcessCollector("up", version, transport, Volume(config.data_dir)))
        admin.add(BacklogCollector(backlog.backlog, reads.specs, store.clock))
        admin.add(DatabaseSizeCollector(backlog.database_bytes, config.database_room_mib))
        admin.add(SchemaCollector(reads.schema))
        admin.add(WorkerCollector(worker.facts))
        admin.add(DaguCollector(deps))
        with admin:
            echo(_welcome(config, server.port))
            wait_for_stop(stop)
        # In the reverse order of the start: no more requests, no more steps, and last what records how they ended.
        deps.closing.set()
        server.stop()
        deps.audit.close()
        worker.stop()
        if link is not None:
            link.close()
        scheduler.stop()
    engine.dispose()
    stop_sending()


def _open_data_folder(config: Config) -> None:
    require_open(config.data_dir)
    config.make_data_dir()
    if others_can_enter(config.data_dir):
        # It may have files that others need, so its mode is left alone. What Dagway keeps in it is private anyway.
        _log.warning("data_dir.open_to_others", extra={"path": str(config.data_dir), "next": "chmod 700"})


def _welcome(config: Config, port: int) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{host}:{port}"
    lines = [f"Dagway is up: {address}   (data in {config.data_dir}; Ctrl-C stops it)"]
    if config.dags_dir is not None:
        lines += [f"Following the workflows in {config.dags_dir}. Try in another terminal:"]
        if address != "http://127.0.0.1:8080":
            lines += [f"  export DAGWAY_URL={address}"]
        lines += ["  dagway ls", "  dagway start NAME"]
    return "\n".join(lines)
