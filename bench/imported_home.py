"""``python -m bench.imported_home RUNS``: what ``dagway import dagu`` costs.

Writes a Dagu home folder whose runs have two steps with logs, and imports it into a SQLite database. Prints the
seconds, the CPU seconds and the peak memory of the import, without the seconds of writing the home.
"""

import argparse
import resource
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
    """Write the home and import it."""
    parser = argparse.ArgumentParser(prog="python -m bench.imported_home", description=__doc__)
    parser.add_argument("runs", type=int)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder:
        _write(Path(folder) / "home", runs)
        _import(Path(folder) / "home", Path(folder) / "data")


def _write(root: Path, runs: int) -> None:
    home = HomeOfDagu(root)
    names = [f"w{number}" for number in range(_WORKFLOWS)]
    for name in names:
        home.workflow(name, _TEXT)
    for number in range(runs):
        home.run(names[number % _WORKFLOWS], f"r{number}", _TEXT, 4, _NODES)


def _import(root: Path, data_dir: Path) -> None:
    config = load_config({"data_dir": str(data_dir)}, {}, terminal=False)
    began, used = time.monotonic(), time.process_time()
    report = import_dagu(config, root, "bench")
    seconds, cpu = time.monotonic() - began, time.process_time() - used
    loaded = report.counts()["run"]["loaded"]
    print(
        f"{loaded} runs in {seconds:.0f} s ({loaded / seconds:.0f}/s), CPU {cpu:.1f} s, "
        f"peak memory {_peak_mib():.0f} MiB"
    )


def _peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / (1 << 20)


if __name__ == "__main__":
    main()
