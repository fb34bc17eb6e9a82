"""Start the guardian with the right to change users, and give this right up in the worker itself.

The guardian is small and talks to nobody but the worker. The worker, which talks to the broker and reads files that
DAGs name, becomes an ordinary user: a member of the steps' groups, and nothing more.
"""

import logging
import os
import pwd
import stat
import tempfile
from pathlib import Path

from services.worker.process.guardian.cgroups import GroupUnusable, take_over
from services.worker.process.guardian_process import GuardianProcess
from shared.errors import ConfigInvalid
from shared.settings.config import Config
from shared.system.proc import own_control_group
from shared.system.rights import allow_open_files, become, can_change_users

__all__ = ["start_guardian"]

_log = logging.getLogger(__name__)


def start_guardian(config: Config) -> GuardianProcess:
    """Start the guardian; then become the worker's user, if steps have another one.

    Call it before the first thread and before any file is created. Raises ``ConfigInvalid``.
    """
    limits = {
        "nproc": config.step_max_processes,
        # Not the address space: Java and Chromium reserve far more of it than they use.
        "data": config.step_max_memory,
        "nofile": config.step_max_open_files,
        "cpu": config.step_max_cpu_s,
    }
    limits = {name: value for name, value in limits.items() if value}
    group, group_limits = _own_groups(config)
    if config.step_user is None:
        if config.worker_user is not None:
            raise ConfigInvalid("DAGWAY_WORKER_USER is set without DAGWAY_STEP_USER: steps would run as root")
        process = GuardianProcess(limits, group=group, group_limits=group_limits)
        allow_open_files()
        return process
    uid, gid = _own_user(config)
    if uid in config.step_user.uids or gid in config.step_user.gids:
        raise ConfigInvalid("DAGWAY_STEP_USER: the range must contain neither the worker's own user nor its group")
    if not can_change_users():
        raise ConfigInvalid(
            "DAGWAY_STEP_USER: this process may not change users: start it as root, or with the capabilities SETUID, "
            "SETGID and KILL"
        )
    process = GuardianProcess(limits, worker=(uid, gid), group=group, group_limits=group_limits)
    allow_open_files()
    for folder in (config.data_dir, Path(tempfile.gettempdir())):
        _protect(folder)
    groups = {*_groups(uid, gid), *config.step_user.gids}
    if os.geteuid() != uid:
        os.environ["HOME"] = _home(uid) or str(config.data_dir)
    for name in ("USER", "LOGNAME"):
        os.environ.pop(name, None)
    become(uid, gid, sorted(groups))
    # The files of this process are for itself and, in folders that it shares, for the group of the step.
    os.umask(0o027)
    return process


def _own_groups(config: Config) -> tuple[str, dict[str, int]]:
    """Return the control group for groups of steps, ready to use, and their limits. Raises ``ConfigInvalid``."""
    limits = {
        "memory": config.step_total_memory,
        "processes": config.step_total_processes,
        "millicpus": round(config.step_cpus * 1000),
    }
    limits = {name: value for name, value in limits.items() if value}
    if not config.step_cgroup:
        if limits:
            raise ConfigInvalid(
                "DAGWAY_STEP_TOTAL_MEMORY, DAGWAY_STEP_TOTAL_PROCESSES and DAGWAY_STEP_CPUS need DAGWAY_STEP_CGROUP: "
                "the control group that the worker may manage"
            )
        return "", limits
    group = config.step_cgroup if config.step_cgroup != "own" else own_control_group()
    if not group:
        raise ConfigInvalid("DAGWAY_STEP_CGROUP: this machine has no control groups of version 2")
    try:
        take_over(group, limits)
    except GroupUnusable as error:
        raise ConfigInvalid(f"DAGWAY_STEP_CGROUP: {error}") from error
    return group, limits


def _protect(folder: Path) -> None:
    """Set the sticky bit of a folder that everybody may write to, as a volume of Kubernetes is.

    Without it, steps could rename or remove what the worker has there. Raises ``ConfigInvalid``.
    """
    try:
        mode = folder.stat().st_mode
    except FileNotFoundError:
        return
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        try:
            folder.chmod(mode | stat.S_ISVTX)
        except PermissionError:
            raise ConfigInvalid(f"steps could replace the worker's files in {folder}: set its sticky bit") from None


def _own_user(config: Config) -> tuple[int, int]:
    if config.worker_user is not None:
        return config.worker_user
    if os.geteuid() == 0:
        raise ConfigInvalid(
            "DAGWAY_WORKER_USER must be set with DAGWAY_STEP_USER, because this process runs as root: it is the user "
            "that the worker becomes"
        )
    return os.geteuid(), os.getegid()


def _groups(uid: int, gid: int) -> list[int]:
    if os.geteuid() == uid:
        return os.getgroups()
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def _home(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""
