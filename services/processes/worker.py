"""``dagway worker``: a worker. It connects to the broker, never to the database."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from services.processes.admin import OptionalAdminServer
from services.processes.sealing import seal_keys
from services.processes.secret_providers import secret_resolver
from services.processes.signing import message_signing
from services.worker.main import Worker, WorkerSettings
from services.worker.own_folder import own_folder
from services.worker.process.guardian_process import GuardianProcess
from services.worker.reporting.metrics import WorkerCollector
from shared.clock import utc_now
from shared.disk import Volume
from shared.errors import ConfigInvalid
from shared.garbage import freeze_loaded
from shared.metrics import ProcessCollector
from shared.service import wait_for_stop
from shared.settings.command_defaults import drain_s, run_files_mib
from shared.settings.config import Config
from shared.settings.effective import reported_settings
from shared.spans import start_sending, stop_sending
from shared.transport.base import WorkerTransport
from shared.transport.open import open_transport

__all__ = ["check_worker", "make_worker", "run_worker_process"]

_log = logging.getLogger(__name__)


def run_worker_process(
    config: Config, version: str, stop: threading.Event, on_death: Callable[[], None], guardian: GuardianProcess
) -> None:
    """Run a worker until ``stop`` is set, then give its steps ``DAGWAY_DRAIN_S`` to end."""
    signed = message_signing(config, "worker")
    config.make_data_dir()
    if config.step_user is None:
        _log.warning("worker.steps_share_its_user", extra={"next": "see docs/operations/isolation.md"})
    with own_folder(config) as (folder, own):
        transport = signed(
            open_transport(own.need("amqp_url"), name=f"dagway-worker-{own.worker_id}", creates=False), utc_now
        )
        start_sending("dagway-worker")
        worker = make_worker(
            own, transport, version, on_death, worker_id=own.worker_id, guardian=guardian, folder=folder
        )
        freeze_loaded()
        # The admin server binds first: if its port is taken, the worker has not taken any task yet.
        with OptionalAdminServer(own, lambda: worker.facts().trouble) as admin:
            volume = Volume(own.data_dir, _data_size(own), lambda: worker.run_files.used_bytes)
            admin.add(ProcessCollector("worker", version, transport, volume))
            admin.add(WorkerCollector(worker.facts))
            worker.start()
            wait_for_stop(stop)
        worker.stop(drain_s=drain_s(own, "worker"))
        transport.close()
        stop_sending()


def check_worker(config: Config) -> None:
    """Refuse settings that no worker may have. Raises ``ConfigInvalid``."""
    config.need("amqp_url")
    if config.database_url:
        raise ConfigInvalid(
            "DAGWAY_DATABASE_URL is set: remove it from the worker's environment, because the commands of steps could "
            "read it"
        )


def make_worker(
    config: Config,
    transport: WorkerTransport,
    version: str,
    on_death: Callable[[], None],
    *,
    worker_id: str,
    guardian: GuardianProcess,
    folder: Path | None = None,
) -> Worker:
    """Return a worker with the settings of ``config``. Without ``folder``, it is that of ``dagway up``."""
    settings = WorkerSettings(
        worker_id=worker_id,
        slots=config.worker_slots,
        labels=dict(config.worker_labels),
        data_dir=folder or config.data_dir / "worker",
        dags_dir=config.dags_dir,
        lease_s=config.lease_s,
        version=version,
        step_users=config.step_user,
        run_files_days=config.run_files_days,
        run_files_failed=config.run_files_failed,
        run_files_mib=run_files_mib(config, "worker" if folder else "up"),
        data_size=_data_size(config),
        private=(config.data_dir, *config.secret_files, config.vault_jwt_file),
        seal_keys=seal_keys(config),
        outbound=config.outbound,
        reported=reported_settings(config, "worker" if config.amqp_url else "up"),
    )
    return Worker(transport, settings, on_failure=on_death, guardian=guardian, resolver=secret_resolver(config))


def _data_size(config: Config) -> int:
    """Return how many bytes the files of one worker may take; 0 if only the file system limits them."""
    return config.data_size // config.data_workers
