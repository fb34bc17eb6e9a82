"""The folder of a worker. Several workers may share a data folder; then each takes one that no other has.

A worker keeps its folder as long as its process lives. The next one that takes the folder goes on with what is in it:
reports that are not delivered yet, files of runs that go on, an order to drain. So it also takes over the id of the
worker that had the folder, whatever the host is called now: to the schedulers it is that worker after a restart.
"""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from shared.errors import ConfigInvalid
from shared.private_files import private_file, replace_private_file
from shared.settings.config import Config
from shared.settings.user_readers import StepUserRange

__all__ = ["own_folder"]

_log = logging.getLogger(__name__)


@contextmanager
def own_folder(config: Config) -> Iterator[tuple[Path, Config]]:
    """Take the first free folder; yield it and the settings of the worker that has it.

    Of ``DAGWAY_DATA_WORKERS`` workers, each has an equal part of the step users. Raises ``ConfigInvalid`` if all
    folders are taken.
    """
    for number in range(config.data_workers):
        folder = config.data_dir / ("worker" if not number else f"worker-{number + 1}")
        # Not ``private_folder``: steps of the worker that has the folder must still pass through it.
        folder.mkdir(0o700, exist_ok=True)
        lock = folder / "lock"
        private_file(lock)
        with lock.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield folder, _settings(config, folder, number)
            return
    if config.data_workers == 1:
        raise ConfigInvalid(
            f"another worker uses {config.data_dir}: give this one another DAGWAY_DATA_DIR, or set DAGWAY_DATA_WORKERS"
        )
    raise ConfigInvalid(f"DAGWAY_DATA_WORKERS: {config.data_workers} other workers use {config.data_dir} already")


def _part_of_users(config: Config, number: int) -> StepUserRange | None:
    """Return the step users of a worker. Raises ``ConfigInvalid``.

    One user for all steps, which is no range, is that of all workers.
    """
    users = config.step_user
    if users is None or users.count == 1:
        return users
    part = users.count // config.data_workers
    if part < 2:
        raise ConfigInvalid(f"DAGWAY_STEP_USER: {users.count} users are too few for {config.data_workers} workers")
    return StepUserRange(users.first_uid + number * part, users.first_gid + number * part, part, users.home)


def _settings(config: Config, folder: Path, number: int) -> Config:
    if config.data_workers == 1:
        return config
    return replace(
        config,
        worker_id=config.worker_id if "worker_id" in config.origins else _kept_id(folder / "worker-id", config),
        step_user=_part_of_users(config, number),
    )


def _kept_id(path: Path, config: Config) -> str:
    """Return the id of the worker that had the folder first, if its pool is that of this one."""
    if path.exists():
        kept = path.read_text(encoding="utf-8")
        if kept.startswith(f"{config.worker_pool}-"):
            return kept
        _log.warning("worker.of_another_pool", extra={"folder": str(path.parent), "its_id": kept})
    replace_private_file(path, config.worker_id)
    return config.worker_id
