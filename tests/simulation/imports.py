"""Gives Dagway's modules the simulated threads, time and randomness when they are imported.

``install`` must run before the first import of a module of Dagway; other packages keep the real ones. So the code
under test is the real code, without a switch for the simulation.
"""

import builtins
import concurrent.futures
import queue
import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from types import ModuleType
from typing import Any

from tests.simulation import threads
from tests.simulation.kernel import Kernel, running

__all__ = ["EPOCH", "install", "wall_s"]

EPOCH = datetime(2026, 1, 5, 12, 0, tzinfo=UTC).timestamp()
"""When every simulation begins, by the true time."""
_CODE = ("services.", "shared.", "dagway.")


def wall_s() -> float:
    """Return the time of the current host's clock; outside of a simulation the real time."""
    kernel = Kernel.active
    if kernel is None:
        return time.time()
    skew_s = kernel.current.host.skew_s if kernel.current is not None else 0.0
    return EPOCH + kernel.now_s + skew_s


def _monotonic() -> float:
    kernel = Kernel.active
    return time.monotonic() if kernel is None else kernel.now_s


def _sleep(seconds: float) -> None:
    kernel = running()
    assert kernel is not None
    kernel.park(seconds)


class _Clock(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.fromtimestamp(wall_s(), tz)


def _ids() -> random.Random:
    kernel = Kernel.active
    return random.SystemRandom() if kernel is None else kernel.ids


class _Random:
    """A generator of Dagway's own. Whatever it was seeded with, it continues the generator of the simulation."""

    def __init__(self, *_: object) -> None:
        pass

    def seed(self, *_: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(_ids(), name)


class _Instead(ModuleType):
    """A module of which some names are replaced."""

    def __init__(self, module: ModuleType, replaced: Mapping[str, object]) -> None:
        super().__init__(module.__name__)
        self._module = module
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _point(name: str) -> None:
    kernel = running()
    if kernel is not None and kernel.current is not None:
        kernel.note(f"point {name}")
        kernel.give_way(0.5)
        if kernel.on_point is not None:
            kernel.on_point(kernel.current.host, name)


def _modules() -> dict[str, ModuleType]:
    of_threads = {
        name: getattr(threads, name) for name in ("Condition", "Event", "Lock", "RLock", "Thread", "current_thread")
    }
    times = {"monotonic": _monotonic, "time": wall_s, "time_ns": lambda: int(wall_s() * 1e9), "sleep": _sleep}
    return {
        "threading": _Instead(threading, of_threads),
        "queue": _Instead(queue, {"SimpleQueue": threads.SimpleQueue}),
        "concurrent.futures": _Instead(
            concurrent.futures, {"Future": threads.Future, "ThreadPoolExecutor": threads.ThreadPoolExecutor}
        ),
        "time": _Instead(time, times),
        "random": _Instead(random, {"Random": _Random, "SystemRandom": _Random}),
        "secrets": _Instead(
            secrets,
            {
                "randbits": lambda bits: _ids().getrandbits(bits),
                "token_hex": lambda size=32: f"{_ids().getrandbits(8 * size):0{2 * size}x}",
            },
        ),
    }


def install() -> None:
    """Replace the modules for all imports by Dagway's code from now on."""
    real = builtins.__import__
    modules = _modules()
    clock = _Instead(__import__("datetime"), {"datetime": _Clock})
    faults = ModuleType("shared.faults")
    faults.point = _point  # type: ignore[attr-defined]

    def find(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        importer = str((globals or {}).get("__name__", ""))
        if importer.startswith(_CODE):
            if name in modules:
                return modules[name]
            if name == "datetime" and importer == "shared.clock":
                return clock
            if name == "shared.faults":
                return faults
        return real(name, globals, locals, fromlist or (), level)

    builtins.__import__ = find
