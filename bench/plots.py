"""``python -m bench.plots FILE ...``: draw results of ``bench`` and ``bench.compare`` into ``docs/plots``.

pip installs Matplotlib into an environment of its own, in which ``bench.measuring.draw`` runs.
"""

import argparse
import os
import subprocess
from pathlib import Path

from bench.measuring.environment import environment

_ROOT = Path(__file__).parents[1]
_FOLDER = _ROOT / "docs" / "plots"
_PACKAGES = ("matplotlib==3.11.2",)


def main() -> None:
    """Draw what the files have."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("file", type=Path, nargs="+")
    files = [file.resolve() for file in parser.parse_args().file]
    _FOLDER.mkdir(exist_ok=True)
    with environment(_PACKAGES) as python:
        argv = [str(python), "-m", "bench.measuring.draw", str(_FOLDER), *map(str, files)]
        subprocess.run(argv, env=os.environ | {"PYTHONPATH": str(_ROOT)}, cwd=_ROOT, check=True)


if __name__ == "__main__":
    main()
