"""Measure ``dagway import dagu``: ``python -m bench.imported_home 100000``, or a part with ``--homes 4 --only 2``.

Writes Dagu home folders whose runs have two steps with logs, and imports them into one SQLite database. Prints for each
home the seconds, the CPU seconds and the peak memory of its import, without the seconds of writing it. With
``--home`` the home is kept, and used again by the next call.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

from services.importing.dagu import import_dagu
from shared.settings.config import load_config
from tests.harness.dagu_home import HomeOfDagu

__all__ = ["main"]

_TEXT = "steps:\n  - name: one\n    command: echo 1\n  - name: two\n    command: echo 2\n"
_NODES = [{"name": "one", "status": 4, "log": "1\n" * 20}, {"name": "two", "status": 4, "log": "2\n"}]
_WORKFLOWS = 20


def main() -> None:
    """Write and import the homes that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", type=int, help="how many runs in all homes together")
    parser.add_argument("--homes", type=int, default=1, help="into how many homes to divide them")
    parser.add_argument("--only", type=int, help="which home to import, from 1; all without it")
    parser.add_argument("--home", type=Path, help="write the only home to this folder, or use the one that is there")
    parser.add_argument("--write-only", action="store_true", help="write the home and end")
    parser.add_argument("--data-dir", type=Path, help="where the database is; a folder that is deleted without it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder:
        data_dir = given.data_dir or Path(folder) / "data"
        for number in [given.only] if given.only else range(1, given.homes + 1):
            root = given.home or Path(folder) / "home"
            if not root.exists():
                _write(root, number, given.runs // given.homes)
            if not given.write_only:
                _import(root, data_dir, number)
            if given.home is None:
                shutil.rmtree(root)


def _write(root: Path, number: int, runs: int) -> None:
    home = HomeOfDagu(root)
    names = [f"home{number}-w{each}" for each in range(_WORKFLOWS)]
    for name in names:
        home.workflow(name, _TEXT)
    for each in range(runs):
        home.run(names[each % _WORKFLOWS], f"h{number}-r{each}", _TEXT, 4, _NODES)


def _import(root: Path, data_dir: Path, number: int) -> None:
    config = load_config({"data_dir": str(data_dir)}, {}, terminal=False)
    began, used = time.monotonic(), time.process_time()
    report = import_dagu(config, root, "bench")
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    loaded = report.counts()["run"]["loaded"]
    print(
        f"home {number}: {loaded} runs in {seconds:.0f} s ({loaded / seconds:.0f}/s), CPU {cpu:.1f} s, "
        f"peak memory {_peak_mib():.0f} MiB"
    )


def _peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 20)


if __name__ == "__main__":
    main()
