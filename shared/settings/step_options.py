"""The settings of a worker that say as which user its steps run, and what they may use."""

from shared.settings.option import WORKER, Option
from shared.settings.readers import control_group, cpus, size, whole_number, whole_seconds
from shared.settings.user_readers import step_users, user

__all__ = ["STEP_OPTIONS"]

STEP_OPTIONS = (
    Option(
        "DAGWAY_STEP_USER",
        step_users,
        WORKER,
        "user of the steps: a name, uid or uid:gid for all runs, or a range such as 20000-20999 for one per run; the "
        "worker must start with the right to change users (the worker's own user)",
    ),
    Option(
        "DAGWAY_WORKER_USER",
        user,
        WORKER,
        "user that a worker becomes that was started as root: a name, uid or uid:gid; a step user requires it (none)",
    ),
    Option(
        "DAGWAY_STEP_MAX_PROCESSES",
        whole_number(1, 1_000_000),
        WORKER,
        "how many processes and threads a step user may have, over all its steps (unlimited)",
    ),
    Option(
        "DAGWAY_STEP_MAX_MEMORY",
        size(64 << 20),
        WORKER,
        "private writable memory (RLIMIT_DATA) of each process of a step: bytes, 512m or 4g; at least 64m (unlimited)",
    ),
    Option(
        "DAGWAY_STEP_MAX_OPEN_FILES",
        whole_number(64, 1_000_000),
        WORKER,
        "how many files each process of a step may have open (the worker's own limit)",
    ),
    Option(
        "DAGWAY_STEP_MAX_CPU_S",
        whole_seconds(1, 100_000_000),
        WORKER,
        "seconds of CPU time that each process of a step may use (unlimited)",
    ),
    Option(
        "DAGWAY_STEP_CGROUP",
        control_group,
        WORKER,
        "control group (cgroup v2) with a group for each command of a step: a folder that the worker may manage, or "
        "own for the worker's own group (none)",
    ),
    Option(
        "DAGWAY_STEP_TOTAL_MEMORY",
        size(4 << 20),
        WORKER,
        "memory of all processes of a command together: bytes, or 512m or 4g; needs DAGWAY_STEP_CGROUP (unlimited)",
    ),
    Option(
        "DAGWAY_STEP_TOTAL_PROCESSES",
        whole_number(1, 1_000_000),
        WORKER,
        "how many processes and threads a command may have; needs DAGWAY_STEP_CGROUP (unlimited)",
    ),
    Option(
        "DAGWAY_STEP_CPUS",
        cpus,
        WORKER,
        "how many CPUs a command may use at once, such as 0.5; needs DAGWAY_STEP_CGROUP (unlimited)",
    ),
)
