"""``dagway api``: a gateway under gunicorn, on RabbitMQ and Postgres."""

import atexit
import logging
import math
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

from prometheus_client.registry import Collector

from services.api.app import create_app
from services.api.assembly import build_deps
from services.api.deps import Deps
from services.api.observability.request_metrics import DaguCollector
from services.api.readiness import schema_of, trouble
from services.api.serving.gunicorn_server import MOST_GREEN_FOLLOWERS, run_gunicorn
from services.api.settings import settings_from, warn_if_open
from services.processes.database import time_limits
from services.processes.sealing import stored_secret_keys
from services.processes.signing import message_signing
from shared.admin_server import AdminServer
from shared.clock import utc_now
from shared.disk import Volume
from shared.language.model import build_validators
from shared.metrics import ProcessCollector
from shared.secret_box import SecretBox
from shared.settings.command_defaults import command_wait_s
from shared.settings.config import Config
from shared.spans import start_sending, stop_sending
from shared.store.clock import StoreClock
from shared.store.clock_metric import ClockCollector
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from shared.store.reads.schema_metric import SchemaCollector
from shared.transport.open import open_transport

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["run_api_process"]

_SPARE_S = 3
"""A gateway that ends goes on for so much longer than a write waits: requests still come in the first second."""

_log = logging.getLogger(__name__)


def run_api_process(config: Config, version: str) -> None:
    """Serve the API under gunicorn until a signal ends the process.

    It starts without the broker or the database too, and returns 503 until both are available.
    """
    # It starts a process when it is imported. Later, a real thread beside the greenlets could not do that.
    import croniter  # noqa: F401, PLC0415

    database_url, amqp_url = config.need("database_url"), config.need("amqp_url")
    signed, closing = message_signing(config, "api"), Event()
    settings = replace(
        settings_from(config), max_followers=MOST_GREEN_FOLLOWERS, secret_box=SecretBox(stored_secret_keys(config))
    )

    def make_app() -> "WSGIApplication":
        # Called when the port is bound: until then, another process may serve there.
        clock = StoreClock(utc_now)
        deps = build_deps(
            transport=signed(open_transport(amqp_url, name="dagway-api", creates=False), clock),
            reads=Reads(
                open_engine(
                    database_url,
                    # One more for probes and one for scrapes: both must be answered while all requests wait.
                    pool_size=config.api_threads + 2,
                    read_only=True,
                    application_name="dagway-api",
                    limits=time_limits(config),
                )
            ),
            version=version,
            settings=settings,
            base_path=config.base_path,
            max_dag_series=config.metrics_dags,
            command_wait_s=command_wait_s(config, "api"),
            closing=closing,
            clock=clock,
        )
        start_sending("dagway-api")
        atexit.register(stop_sending)
        if config.metrics_port:
            _start_admin_server(config, version, deps)

        def stop() -> None:
            deps.audit.close()
            # Else the broker takes the end of its connections for a failure, and warns.
            deps.transport.close()
            _log.info("api.stopped", extra={"host": config.host, "port": config.port})

        atexit.register(stop)
        _log.info("api.started", extra={"host": config.host, "port": config.port})
        return create_app(deps)

    # Requests on greenlets parse specs in real threads.
    build_validators()
    warn_if_open(settings, config.host)
    run_gunicorn(
        make_app,
        config.host,
        config.port,
        threads=config.api_threads,
        graceful_timeout_s=math.ceil(command_wait_s(config, "api")) + _SPARE_S,
        on_stop=closing.set,
    )


def _start_admin_server(config: Config, version: str, deps: Deps) -> None:
    about = ProcessCollector("api", version, deps.transport, Volume(config.data_dir))
    collectors: list[Collector] = [about, DaguCollector(deps), SchemaCollector(deps.reads.schema)]
    if deps.reads.clock is not None:
        collectors.append(ClockCollector(deps.reads.clock))
    AdminServer(config.host, config.metrics_port, lambda: trouble(deps, schema_of(deps)), collectors).start()
