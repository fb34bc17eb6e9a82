"""``python -m bench.run_files [RUNS]``: what many runs leave on the disk of a worker that is restarted meanwhile.

One run is executed. The others get copies of its files. What a worker keeps, and when it deletes it, is decided by its
own code, with a clock that goes faster. One run of 20 fails.
"""

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from services.worker.run_files import RunFiles
from tests.harness.worker_rig import Rig, command, task

_AT_ONCE = 1_000
_FAILS_EVERY = 20
_LATER_S = 600.0
"""Longer than a worker keeps the files of a run that succeeded."""


@dataclass(frozen=True, slots=True)
class Left:
    """The most and the last that all files took, in bytes, and the runs that have files."""

    peak: int
    size: int
    runs: frozenset[str]


def play(folder: Path, runs: int, *, at_once: int = _AT_ONCE, most_failed: int = 1_000) -> Left:
    """Let ``runs`` runs leave their files in ``folder``, ``at_once`` of them before the clock goes on."""
    with Rig(folder) as rig:
        rig.run(task(command("true")))
    samples = [folder / "runs/d/r1", folder / "logs/d/r1"]
    files = RunFiles(folder, 7, most_failed=most_failed)
    peak = 0
    for start in range(0, runs, at_once):
        names = [f"run-{number}" for number in range(start, min(start + at_once, runs))]
        for name in names:
            with files.using(task(command("true"), dag_run_id=name, root_dag_run_id=name)):
                for sample in samples:
                    shutil.copytree(sample, sample.with_name(name))
        failed = names[::_FAILS_EVERY]
        files.ended([("d", name) for name in names if name not in set(failed)], [("d", name) for name in failed])
        if start == (runs // at_once // 2) * at_once:
            files = RunFiles(folder, 7, most_failed=most_failed)
        files.remove_most()
        peak = max(peak, files.used_bytes)
        files.remove_succeeded(time.monotonic() + _LATER_S)
    files.remove_most()
    left = {path.name for base in ("runs", "logs") for path in (folder / base / "d").iterdir()}
    return Left(peak, files.used_bytes, frozenset(left - {"r1"}))


def main() -> None:
    """Print what is left."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        left = play(Path(folder), runs)
    size_mb, peak_mb = left.size / 1e6, left.peak / 1e6
    print(f"{runs} runs left {size_mb:.1f} MB, the files of {len(left.runs)} runs; the most was {peak_mb:.1f} MB")
    print(f"it took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
