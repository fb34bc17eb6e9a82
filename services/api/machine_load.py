"""The load of this machine, sampled every few seconds and kept for a day (as in Dagu's REST API v2).

CPU, memory and disk are percentages. CPU and memory are missing on systems that do not report them in ``/proc``.
"""

import os
import shutil
import threading
import time
from collections import deque
from pathlib import Path

from shared.system.proc import cpu_times, memory_percent

__all__ = ["Resources"]

_EVERY_S = 5
_KEPT_S = 24 * 3600

Point = tuple[int, float]


class Resources:
    """Samples of the last day, and the thread that takes them."""

    def __init__(self, disk: Path = Path(), *, every_s: float = _EVERY_S) -> None:
        self._disk = disk
        self._every_s = every_s
        kept = int(_KEPT_S / every_s)
        self._series: dict[str, deque[Point]] = {name: deque(maxlen=kept) for name in ("cpu", "memory", "disk", "load")}
        self._lock = threading.Lock()
        self._busy: tuple[float, float] | None = None

    def begin(self, stop: threading.Event) -> None:
        """Start the thread, which takes samples until ``stop`` is set."""
        threading.Thread(target=self._run, args=(stop,), name="api-resources", daemon=True).start()

    def last(self, seconds: float) -> dict[str, list[dict[str, float]]]:
        """Return the samples of the last seconds by this machine's clock, oldest first."""
        unix_s = int(time.time() - seconds)
        with self._lock:
            return {
                name: [{"timestamp": at, "value": value} for at, value in points if at >= unix_s]
                for name, points in self._series.items()
            }

    def sample(self) -> None:
        """Take one sample of each value that can be read."""
        at = int(time.time())
        values = {"cpu": self._cpu(), "memory": memory_percent(), "disk": _disk(self._disk), "load": _load()}
        with self._lock:
            for name, value in values.items():
                if value is not None:
                    self._series[name].append((at, round(value, 2)))

    def _run(self, stop: threading.Event) -> None:
        while True:
            self.sample()
            if stop.wait(self._every_s):
                return

    def _cpu(self) -> float | None:
        """Return the share of busy time since the last sample; for the first sample, since the machine started."""
        times = cpu_times()
        if times is None:
            return None
        total, idle = times
        before, self._busy = self._busy or (0.0, 0.0), times
        passed = total - before[0]
        return 100 * (1 - (idle - before[1]) / passed) if passed > 0 else 0.0


def _disk(path: Path) -> float | None:
    try:
        usage = shutil.disk_usage(path if path.exists() else Path())
    except OSError:
        return None
    # As df does: the share of the space that users can use, without the blocks reserved for root.
    usable = usage.used + usage.free
    return 100 * usage.used / usable if usable else None


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except OSError:
        return None
