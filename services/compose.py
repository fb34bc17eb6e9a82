"""Composition roots of the services that run as processes of their own, on RabbitMQ and Postgres."""

import atexit
import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Self, TypeVar

from prometheus_client.registry import Collector

from services.api.deps import Deps
from services.api.main import run_api
from services.api.observability.request_metrics import DaguCollector
from services.api.readiness import schema_of, trouble
from services.api.serving.server import MOST_STREAMS
from services.api.settings import settings_from
from services.scheduler.main import Scheduler
from services.scheduler.metrics import BacklogCollector, limit_dag_series
from services.worker.main import Worker
from services.worker.reporting.metrics import WorkerCollector
from shared.admin_server import AdminServer
from shared.clock import local_zone, utc_now
from shared.config import Config
from shared.errors import ConfigInvalid, Unavailable
from shared.language.load import load
from shared.metrics import ProcessCollector
from shared.service import backoff_s, freeze_loaded
from shared.spans import start_sending, stop_sending
from shared.store.engine import open_engine
from shared.store.migrate import require_head
from shared.store.reads.backlog import BacklogReads
from shared.store.reads.reader import Reads
from shared.store.reads.schema_metric import SchemaCollector
from shared.store.writes.transaction import Store
from shared.transport.base import Transport
from shared.transport.open import open_transport

__all__ = [
    "make_scheduler",
    "make_worker",
    "read_base_config",
    "run_api_process",
    "run_scheduler_process",
    "run_worker_process",
]

_log = logging.getLogger(__name__)
T = TypeVar("T")

_SCHEDULER_CONNECTIONS = 12
_DRAIN_S = 25
"""How long a stopping worker waits for its steps. Kubernetes gives a pod 30 s."""


def run_api_process(config: Config, version: str) -> None:
    """Serve the API under gunicorn until a signal stops it."""
    database_url, amqp_url = config.need("database_url"), config.need("amqp_url")

    def open_broker() -> Transport:
        return open_transport(amqp_url, name="dagway-api")

    def open_reads() -> Reads:
        return Reads(
            open_engine(database_url, pool_size=config.api_threads, read_only=True, application_name="dagway-api")
        )

    def start_admin_server(deps: Deps) -> None:
        # In the serving process, because threads do not survive the fork.
        start_sending("dagway-api")
        atexit.register(stop_sending)
        if config.metrics_port:
            about = ProcessCollector("api", version, deps.transport, config.data_dir)
            collectors: list[Collector] = [about, DaguCollector(deps), SchemaCollector(deps.reads.schema)]
            AdminServer(config.host, config.metrics_port, lambda: trouble(deps, schema_of(deps)), collectors).start()

    run_api(
        host=config.host,
        port=config.port,
        open_transport=open_broker,
        open_reads=open_reads,
        version=version,
        settings=replace(settings_from(config), max_streams=MOST_STREAMS),
        base_path=config.base_path,
        max_dag_series=config.metrics_dags,
        on_open=start_admin_server,
        threads=config.api_threads,
    )


def run_scheduler_process(config: Config, version: str, stop: threading.Event, on_death: Callable[[], None]) -> None:
    """Run a scheduler until ``stop``. It first waits for the database, its schema and the broker."""
    base_config = read_base_config(config)
    engine = open_engine(
        config.need("database_url"), pool_size=_SCHEDULER_CONNECTIONS, application_name="dagway-scheduler"
    )
    amqp_url = config.need("amqp_url")
    start_sending("dagway-scheduler")
    running: list[Scheduler] = []
    # The admin server starts first: a scheduler that waits for its servers is live, but not ready.
    limit_dag_series(config.metrics_dags)
    with _admin_server(
        config, lambda: running[0].trouble if running else "waiting for the database, its schema or the broker"
    ) as admin:
        _retry_until("schema", lambda: require_head(engine), stop)
        transport = open_transport(amqp_url, name="dagway-scheduler")
        admin.add(ProcessCollector("scheduler", version, transport, config.data_dir))
        reads = BacklogReads(engine)
        admin.add(BacklogCollector(reads.backlog, utc_now))
        admin.add(SchemaCollector(reads.schema))
        scheduler = _retry_until(
            "broker",
            lambda: make_scheduler(config, Store(engine), transport, version, on_death, base_config=base_config),
            stop,
        )
        if scheduler is not None:
            freeze_loaded()
            scheduler.start()
            running.append(scheduler)
            while not stop.wait(0.5):
                pass
            scheduler.stop()
        transport.close()
    engine.dispose()
    stop_sending()


def run_worker_process(config: Config, version: str, stop: threading.Event, on_death: Callable[[], None]) -> None:
    """Run a worker until ``stop``, then wait for its steps."""
    if config.database_url:
        raise ConfigInvalid("DAGWAY_DATABASE_URL is set, but a worker runs users' commands and must not hold it")
    amqp_url = config.need("amqp_url")
    config.make_data_dir()
    transport = open_transport(amqp_url, name=f"dagway-worker-{config.worker_id}")
    start_sending("dagway-worker")
    worker = make_worker(config, transport, version, on_death, worker_id=config.worker_id)
    freeze_loaded()
    worker.start()
    with _admin_server(config, lambda: worker.trouble) as admin:
        admin.add(ProcessCollector("worker", version, transport, config.data_dir))
        admin.add(WorkerCollector(worker))
        while not stop.wait(0.5):
            pass
    worker.stop(drain_s=_DRAIN_S)
    transport.close()
    stop_sending()


def read_base_config(config: Config) -> str:
    """Return the text of the base configuration that every DAG inherits, empty if there is none.

    Raises:
        ConfigInvalid: it cannot be read or has errors, so no run could start.
    """
    if config.base_config is None:
        return ""
    try:
        text = config.base_config.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(f"DAGWAY_BASE_CONFIG: cannot read the file: {error}") from error
    if errors := load("steps: ['true']", file_name="any", base=text).errors:
        raise ConfigInvalid(f"DAGWAY_BASE_CONFIG: {config.base_config}: {'; '.join(map(str, errors))}")
    return text


def make_scheduler(
    config: Config,
    store: Store,
    transport: Transport,
    version: str,
    on_death: Callable[[], None],
    *,
    base_config: str,
) -> Scheduler:
    """Return a scheduler with the settings of ``config``."""
    return Scheduler(
        store,
        transport,
        clock=utc_now,
        lease_s=config.lease_s,
        version=version,
        dags_dir=config.dags_dir,
        base_config=base_config,
        tz=local_zone(config.tz),
        queues=dict(config.queues),
        pools=dict(config.pools),
        on_death=on_death,
    )


def make_worker(
    config: Config, transport: Transport, version: str, on_death: Callable[[], None], *, worker_id: str
) -> Worker:
    """Return a worker with the settings of ``config``."""
    return Worker(
        transport,
        worker_id=worker_id,
        slots=config.worker_slots,
        labels=dict(config.worker_labels),
        data_dir=config.data_dir / "worker",
        dags_dir=config.dags_dir,
        lease_ttl_s=config.lease_s,
        version=version,
        on_failure=on_death,
    )


def _retry_until(what: str, make: Callable[[], T], stop: threading.Event) -> T | None:
    """Call ``make`` until it succeeds or ``stop`` is set, because services may start in any order."""
    tries = 0
    while not stop.is_set():
        try:
            return make()
        except (Unavailable, ConfigInvalid) as error:
            tries += 1
            _log.warning("start.waits", extra={"for": what, "error": str(error)})
            stop.wait(backoff_s(tries, first_s=0.2))
    return None


class _admin_server:  # noqa: N801 - used as a context manager function
    def __init__(self, config: Config, trouble: Callable[[], str]) -> None:
        self._server = AdminServer(config.host, config.metrics_port, trouble) if config.metrics_port else None

    def __enter__(self) -> Self:
        if self._server is not None:
            self._server.start()
        return self

    def add(self, collector: Collector) -> None:
        if self._server is not None:
            self._server.add(collector)

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.stop()
