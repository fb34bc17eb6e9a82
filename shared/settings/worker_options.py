"""The settings of a worker: its name, what it takes, how it stops, what it keeps."""

from shared.contracts.signing_keys import shared_keys
from shared.settings.option import WORKER, Option
from shared.settings.readers import labels, size, whole_number, whole_seconds, worker_id, worker_pool

__all__ = ["WORKER_OPTIONS"]

WORKER_OPTIONS = (
    Option(
        "DAGWAY_WORKER_SLOTS",
        whole_number(1, 10_000),
        WORKER,
        "how many attempts the worker runs at the same time (100)",
        flag_name="--slots",
    ),
    Option(
        "DAGWAY_DRAIN_S",
        whole_seconds(0, 86_400),
        WORKER,
        "seconds that a worker told to stop gives its running steps; it takes no new runs meanwhile (25; up: 5)",
    ),
    Option(
        "DAGWAY_RUN_FILES_DAYS",
        whole_number(0, 3650),
        WORKER,
        "days for which a worker keeps the files of a run after their last change; it deletes the files of a succeeded "
        "run after 5 minutes; 0: all files are kept (7)",
    ),
    Option(
        "DAGWAY_RUN_FILES_FAILED",
        whole_number(0, 1_000_000),
        WORKER,
        "how many failed runs a worker keeps the files of: beyond that, it deletes those of the runs that failed "
        "first; 0: no limit (1000)",
    ),
    Option(
        "DAGWAY_RUN_FILES_MIB",
        whole_number(0, 100_000_000),
        WORKER,
        "MiB that the files of runs may take on a worker: about once a minute it deletes what is beyond that, the "
        "files that changed longest ago first; 0: no limit (60 % of the volume, or of the worker's part of it; up: 0)",
    ),
    Option(
        "DAGWAY_DATA_WORKERS",
        whole_number(1, 100),
        frozenset({"worker"}),
        "how many workers may share the data folder: each takes a free folder in it, the id of the worker that had it "
        "before, and an equal part of DAGWAY_STEP_USER and of the volume (1)",
    ),
    Option(
        "DAGWAY_DATA_SIZE",
        size(1 << 20),
        frozenset({"worker"}),
        "size of the volume with the data folder, if its file system is larger, as for an emptyDir with a sizeLimit: "
        "bytes, or 512m or 10Gi (none)",
    ),
    Option(
        "DAGWAY_WORKER_LABELS",
        labels,
        WORKER,
        "labels of the worker, which worker selectors refer to: gpu=true,region=eu (none)",
        flag_name="--labels",
    ),
    Option(
        "DAGWAY_WORKER_ID",
        worker_id,
        WORKER,
        "unique name of the worker, the same after a restart; begins with the name of its pool and a dash (POOL-HOST)",
    ),
    Option(
        "DAGWAY_WORKER_POOL",
        worker_pool,
        frozenset({"worker"}),
        "worker pool: workers that share a login at the broker; workflows choose it by the label worker-pool (default)",
    ),
    Option(
        "DAGWAY_WORKER_SEAL_KEYS",
        shared_keys,
        WORKER,
        "keys that seal secrets in parameters of sub-runs: ID=SECRET, the first seals, all open; the same for all "
        "workers; use the environment variable or a file (up: one of its own)",
        secret=True,
    ),
)
