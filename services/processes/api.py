"""``dagway api``: a gateway under gunicorn, on RabbitMQ and Postgres."""

import atexit
from dataclasses import replace

from prometheus_client.registry import Collector

from services.api.deps import Deps
from services.api.main import run_api
from services.api.observability.request_metrics import DaguCollector
from services.api.readiness import schema_of, trouble
from services.api.serving.gunicorn_server import MOST_FOLLOWERS
from services.api.settings import settings_from
from services.processes.database import time_limits
from services.processes.sealing import stored_secret_keys
from services.processes.signing import message_signing
from shared.admin_server import AdminServer
from shared.disk import Volume
from shared.metrics import ProcessCollector
from shared.secret_box import SecretBox
from shared.settings.command_defaults import command_wait_s
from shared.settings.config import Config
from shared.spans import start_sending, stop_sending
from shared.store.clock_metric import ClockCollector
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from shared.store.reads.schema_metric import SchemaCollector
from shared.transport.base import Transport
from shared.transport.open import open_transport

__all__ = ["run_api_process"]


def run_api_process(config: Config, version: str) -> None:
    """Serve the API under gunicorn until a signal stops it."""
    database_url, amqp_url = config.need("database_url"), config.need("amqp_url")
    signed = message_signing(config, "api")

    def open_broker() -> Transport:
        return signed(open_transport(amqp_url, name="dagway-api", creates=False))

    def open_reads() -> Reads:
        return Reads(
            open_engine(
                database_url,
                # One more for probes and one for scrapes: both must be answered while all requests wait.
                pool_size=config.api_threads + 2,
                read_only=True,
                application_name="dagway-api",
                limits=time_limits(config),
            )
        )

    def start_admin_server(deps: Deps) -> None:
        start_sending("dagway-api")
        atexit.register(stop_sending)
        if config.metrics_port:
            about = ProcessCollector("api", version, deps.transport, Volume(config.data_dir))
            collectors: list[Collector] = [about, DaguCollector(deps), SchemaCollector(deps.reads.schema)]
            if deps.reads.clock is not None:
                collectors.append(ClockCollector(deps.reads.clock))
            AdminServer(config.host, config.metrics_port, lambda: trouble(deps, schema_of(deps)), collectors).start()

    run_api(
        host=config.host,
        port=config.port,
        open_transport=open_broker,
        open_reads=open_reads,
        version=version,
        settings=replace(
            settings_from(config), max_followers=MOST_FOLLOWERS, secret_box=SecretBox(stored_secret_keys(config))
        ),
        base_path=config.base_path,
        max_dag_series=config.metrics_dags,
        command_wait_s=command_wait_s(config, "api"),
        on_open=start_admin_server,
        threads=config.api_threads,
    )
