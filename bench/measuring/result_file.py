"""The file of a bench: JSON in ``bench/results``, written after each measurement."""

import json
import os
import platform
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.loads.large import LargeSizes
from bench.loads.small import Sizes
from bench.measuring.disk import file_system
from bench.report import table
from bench.systems.contenders import LARGE_WORKERS, WORKERS

__all__ = ["ResultFile"]

_FOLDER = Path(__file__).parents[1] / "results"


class ResultFile:
    """Collects what was measured, with the conditions. ``by`` is the module that measures."""

    def __init__(self, by: str, rounds: int, small: Sizes, large: LargeSizes) -> None:
        now = datetime.now(UTC)
        conditions = {
            "by": by,
            "at": now.isoformat(timespec="seconds"),
            "cores": os.cpu_count(),
            "file_system": file_system(Path(tempfile.gettempdir())),
            "load": round(os.getloadavg()[0], 1),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "rounds": rounds,
            "sizes": asdict(small),
            "large_sizes": asdict(large),
            "workers": WORKERS,
            "large_workers": LARGE_WORKERS,
        }
        self._all: dict[str, Any] = {"conditions": conditions, "measured": []}
        self._file = _FOLDER / f"{by.rpartition('.')[2]}-{now:%Y%m%d-%H%M%S}.json"

    def add(self, part: str, found: dict[str, Any]) -> None:
        """Append to a part of the results, and write all."""
        self._all.setdefault(part, []).append(found)
        _FOLDER.mkdir(exist_ok=True)
        self._file.write_text(json.dumps(self._all, indent=1) + "\n")

    def print(self) -> None:
        """Print the tables and the file's path."""
        print(table(self._all), f"\nwritten to {self._file}")
