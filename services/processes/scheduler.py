"""``dagway scheduler``: a scheduler on RabbitMQ and Postgres."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

from services.processes.admin import OptionalAdminServer
from services.processes.base_config import read_base_config
from services.processes.database import time_limits
from services.processes.signing import message_signing
from services.scheduler.deciding.dag_folder.dag_files import DagFiles, RefusedChanges
from services.scheduler.main import Scheduler, SchedulerSettings
from services.scheduler.metrics import JUDGED_AGE, BacklogCollector, limit_dag_series
from shared.clock import local_zone
from shared.disk import Volume
from shared.errors import ConfigInvalid, Unavailable
from shared.garbage import freeze_loaded
from shared.metrics import ProcessCollector
from shared.service import backoff_s, wait_for_stop
from shared.settings.command_defaults import dags_write
from shared.settings.config import Config
from shared.settings.effective import reported_settings
from shared.spans import start_sending, stop_sending
from shared.store.clock_metric import ClockCollector
from shared.store.engine import open_engine
from shared.store.migrate import require_head
from shared.store.reads.backlog import BacklogReads
from shared.store.reads.dags import DagReads
from shared.store.reads.schema_metric import SchemaCollector
from shared.store.room_metrics import DatabaseSizeCollector
from shared.store.scraped import PROBE_WAIT_S, Scraped
from shared.store.writes.transaction import Store
from shared.transport.base import Transport
from shared.transport.open import open_transport

if TYPE_CHECKING:
    from shared.store.checks.verify import CheckResult

__all__ = ["make_scheduler", "run_scheduler_process", "scheduler_settings", "written_files"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

_CONNECTIONS = 12


def run_scheduler_process(config: Config, version: str, stop: threading.Event, on_death: Callable[[], None]) -> None:
    """Run a scheduler until ``stop`` is set. First wait for the database, its schema and the broker."""
    settings = scheduler_settings(
        config, version, base_config=read_base_config(config), dag_files=written_files(config, "scheduler")
    )
    engine = open_engine(
        config.need("database_url"),
        pool_size=_CONNECTIONS,
        application_name="dagway-scheduler",
        limits=time_limits(config),
    )
    amqp_url = config.need("amqp_url")
    signed = message_signing(config, "scheduler")
    start_sending("dagway-scheduler")
    reads = BacklogReads(engine)
    schema = Scraped(reads.schema, wait_s=PROBE_WAIT_S)
    running: list[Scheduler] = []

    def trouble() -> str:
        if not running:
            return "waiting for the database, its schema, the broker or the DAG folder"
        # A transaction that hangs is noticed when it is given up: asked here, the database must answer at once.
        return running[0].trouble or ("" if schema.get() else "the database does not answer")

    # The admin server starts first: a scheduler that waits for the database or the broker is live, but not ready.
    limit_dag_series(config.metrics_dags)
    with OptionalAdminServer(config, trouble) as admin:
        store = Store(engine)
        _retry_until("schema", lambda: _ask_time(store), stop)
        transport = signed(open_transport(amqp_url, name="dagway-scheduler"), store.clock)
        admin.add(ProcessCollector("scheduler", version, transport, Volume(config.data_dir)))
        admin.add(ClockCollector(store.clock))
        admin.add(BacklogCollector(reads.backlog, DagReads(engine).specs, store.clock))
        admin.add(SchemaCollector(reads.schema))
        admin.add(DatabaseSizeCollector(reads.database_bytes, config.database_room_mib))
        scheduler = _retry_until("broker", lambda: make_scheduler(config, settings, store, transport, on_death), stop)
        if scheduler is not None:
            freeze_loaded()
            JUDGED_AGE.set_function(lambda: scheduler.judged_age_s)
            scheduler.start()
            running.append(scheduler)
            wait_for_stop(stop)
            scheduler.stop()
        transport.close()
    engine.dispose()
    stop_sending()


def _ask_time(store: Store) -> None:
    """Let the clock of a store follow that of its database, if this has the right schema."""
    require_head(store.engine)
    with store.begin():
        pass


def scheduler_settings(
    config: Config, version: str, *, base_config: str, dag_files: DagFiles | None
) -> SchedulerSettings:
    """Return the settings of a scheduler, from ``config``, ``read_base_config`` and ``written_files``."""
    return SchedulerSettings(
        version=version,
        lease_s=config.lease_s,
        dags_dir=config.dags_dir,
        dag_files=dag_files,
        base_config=base_config,
        tz=local_zone(config.tz),
        queues=dict(config.queues),
        pools=dict(config.pools),
        audit_days=config.audit_days,
        history_days=config.history_days,
        shards=bool(config.amqp_url),
        verify_every_s=config.verify_every_s,
        reported=reported_settings(config, "scheduler" if config.amqp_url else "up"),
    )


def make_scheduler(
    config: Config, settings: SchedulerSettings, store: Store, transport: Transport, on_death: Callable[[], None]
) -> Scheduler:
    """Return a scheduler with these settings, which are those of ``config``."""

    def verify() -> "Sequence[CheckResult]":
        from services.verify import check_database  # noqa: PLC0415 - the first check comes long after the start

        return check_database(config, store.clock(), limit=5)

    return Scheduler(store, transport, settings, clock=store.clock, on_death=on_death, verify=verify)


def written_files(config: Config, command: Literal["up", "scheduler"]) -> DagFiles | None:
    """Return what writes DAGs to the DAG folder, or refuses to; ``None`` if they go to the database only.

    ``command``: the command that runs the scheduler.

    Raises:
        ConfigInvalid: DAGs are to be written to the DAG folder, and there is none.
    """
    where = dags_write(config, command)
    if where == "database":
        return None
    if where == "refuse":
        return RefusedChanges()
    if config.dags_dir is None:
        raise ConfigInvalid("DAGWAY_DAGS_WRITE is folder: set DAGWAY_DAGS_DIR to the folder")
    return DagFiles(config.dags_dir, config.suspend_dir)


def _retry_until(what: str, make: Callable[[], T], stop: threading.Event) -> T | None:
    """Call ``make`` until it succeeds, or until ``stop`` is set (return ``None``): services may start in any order."""
    tries = 0
    while not stop.is_set():
        try:
            return make()
        except (Unavailable, ConfigInvalid) as error:
            tries += 1
            _log.warning("start.waits", extra={"for": what, "error": str(error)})
            stop.wait(backoff_s(tries, first_s=0.2))
    return None
