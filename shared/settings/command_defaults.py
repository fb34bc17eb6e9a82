"""Settings whose default depends on the command that runs a service: what applies if they are not set."""

from typing import Literal

from shared.disk import Volume
from shared.settings.config import Config

__all__ = ["command_wait_s", "dags_write", "drain_s", "run_files_mib"]

_UP = "up"
_FOR_RUN_FILES = 60
"""In percent of the volume. The rest is for reports that wait for the broker, and for what running steps write."""


def command_wait_s(config: Config, command: str) -> float:
    """Return for how many seconds a write waits for its outcome (``DAGWAY_COMMAND_WAIT_S``).

    In ``dagway up`` a laptop may be busy with the steps themselves, and the scheduler is never away: it is in this
    process. Elsewhere the wait is short, so that requests do not fill the gateway while all schedulers are unavailable.
    """
    return config.command_wait_s or (30 if command == _UP else 5)


def drain_s(config: Config, command: str) -> int:
    """Return how many seconds a worker that stops gives its running steps (``DAGWAY_DRAIN_S``).

    Unless told otherwise, Kubernetes kills a pod 30 s after it told it to stop.
    """
    return (5 if command == _UP else 25) if config.drain_s is None else config.drain_s


def run_files_mib(config: Config, command: str) -> int:
    """Return how many MiB the files of runs may take on a worker (``DAGWAY_RUN_FILES_MIB``); 0: no limit.

    The volume of ``dagway up`` is usually somebody's own disk.
    """
    if config.run_files_mib is not None:
        return config.run_files_mib
    if command == _UP or not config.run_files_days:
        return 0
    size, _ = Volume(config.data_dir, config.data_size).room()
    return (size * _FOR_RUN_FILES // 100 // config.data_workers) >> 20


def dags_write(config: Config, command: str) -> Literal["folder", "database", "refuse"]:
    """Return where changes of DAGs are stored (``DAGWAY_DAGS_WRITE``): ``dagway up`` writes its DAG folder."""
    return config.dags_write or ("folder" if command == _UP and config.dags_dir is not None else "database")
