"""Faults of processes: killed, frozen, restarted, away, with a wrong clock, on both deployments."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.chaos.model import Fault
from tests.harness.cluster import Deployment, descendants
from tests.harness.procs import DagwayProcess

__all__ = ["Carry", "EndedByItself", "ProcessFaults"]

Carry = Callable[[Fault], tuple[str, tuple[str, ...]]]
"""Carries out a fault; returns the name of its victim, and the workers that may be declared lost."""

_SECONDS_OFF = (-3600, -15, 15, 3600)
_WRONG_CLOCK = """
import datetime, shared.clock
right = shared.clock.utc_now
shared.clock.utc_now = lambda: right() + datetime.timedelta(seconds={seconds})
"""


class EndedByItself(RuntimeError):
    """A process that no fault has touched is not running."""


class ProcessFaults:
    """Carries out faults of processes. ``over`` ends every wait early.

    ``names`` are those of the processes; of a worker, its id. ``earlier`` is the folder with the code of an earlier
    version, if there is one.
    """

    def __init__(
        self,
        system: Deployment,
        names: dict[DagwayProcess, str],
        folder: Path,
        over: threading.Event,
        earlier: Path | None = None,
    ) -> None:
        self._system = system
        self._names = names
        self._folder = folder
        self._over = over
        self._earlier = earlier

    def all(self) -> dict[str, Carry]:
        """Return how to carry out each kind of fault of a distributed system."""
        system = self._system
        kinds = {"gateway": system.gateways, "scheduler": system.schedulers, "worker": system.workers}
        found: dict[str, Carry] = {}
        for name, of_kind in kinds.items():
            found[f"{name} killed"] = self._on_one(of_kind, self._kill)
            found[f"{name} frozen"] = self._on_one(of_kind, self._freeze)
            found[f"{name} restarted"] = self._on_one(of_kind, self._restart)
            found[f"{name} with a wrong clock"] = self._on_one(of_kind, self._wrong_clock)
            if self._earlier is not None:
                found[f"{name} of the earlier version"] = self._on_one(of_kind, self._downgrade)
        found["worker away, back with its queue filled"] = self._on_one(system.workers, self._kill)
        for text, point in (
            ("after a commit", "scheduler.committed"),
            ("before it sends", "relay.before_publish"),
            ("after a confirm", "relay.confirmed"),
            ("before it tells a caller", "family.before_attend"),
        ):
            found[f"scheduler killed {text}"] = self._on_one(system.schedulers, self._at_point(point))
        found["all schedulers killed"] = self._on_all(system.schedulers)
        found["all workers killed"] = self._on_all(system.workers)
        return found

    def embedded(self) -> dict[str, Carry]:
        """Return how to carry out each kind of fault of ``dagway up``."""
        only = self._system.schedulers
        return {
            "dagway up killed": self._on_one(only, self._kill),
            "dagway up killed after a commit": self._on_one(only, self._at_point("scheduler.committed")),
            "dagway up frozen": self._on_one(only, self._freeze),
            "dagway up restarted": self._on_one(only, self._restart),
            "worker process killed": self._on_one(only, self._kill_child),
            "worker process frozen": self._on_one(only, self._freeze_child),
        }

    def revive(self) -> None:
        """Start every process that does not run."""
        for process in self._system.processes:
            if not process.running:
                process.start()

    def _on_one(self, processes: Sequence[DagwayProcess], act: Callable[[DagwayProcess, Fault], None]) -> Carry:
        def carry(fault: Fault) -> tuple[str, tuple[str, ...]]:
            process = processes[fault.target % len(processes)]
            if not process.running:
                process.start()
                raise EndedByItself(f"{self._names[process]} ended by itself:\n{process.output()[-3000:]}")
            act(process, fault)
            return self._names[process], self._touched(process)

        return carry

    def _touched(self, *processes: DagwayProcess) -> tuple[str, ...]:
        return tuple(self._names[process] for process in processes if process in self._system.workers)

    def _on_all(self, processes: Sequence[DagwayProcess]) -> Carry:
        def carry(fault: Fault) -> tuple[str, tuple[str, ...]]:
            for process in processes:
                process.kill9()
            self._over.wait(fault.lasts_s)
            for process in processes:
                process.start()
            return "all", self._touched(*processes)

        return carry

    def _kill(self, process: DagwayProcess, fault: Fault) -> None:
        process.kill9()
        self._over.wait(fault.lasts_s)
        process.start()

    def _freeze(self, process: DagwayProcess, fault: Fault) -> None:
        process.freeze()
        self._over.wait(fault.lasts_s)
        process.thaw()

    def _restart(self, process: DagwayProcess, _: Fault) -> None:
        process.terminate()
        process.start()

    def _at_point(self, point: str) -> Callable[[DagwayProcess, Fault], None]:
        """Restart a process so that it kills itself at a point in the code; kill it if it does not get there."""

        def act(process: DagwayProcess, fault: Fault) -> None:
            process.kill9()
            with _setting(process, "DAGWAY_FAULTS", f"{point}:kill@{1 + fault.target % 5}"):
                process.start()
            # The process needs two seconds to start.
            for _ in range(20):
                self._over.wait((fault.lasts_s + 2) / 20)
                if not process.running:
                    break
            if process.running:
                process.kill9()
            else:
                process.wait_exit()
            process.start()

        return act

    def _wrong_clock(self, process: DagwayProcess, fault: Fault) -> None:
        seconds = _SECONDS_OFF[fault.target % len(_SECONDS_OFF)]
        folder = self._folder / f"clock{seconds}"
        folder.mkdir(exist_ok=True)
        (folder / "sitecustomize.py").write_text(_WRONG_CLOCK.format(seconds=seconds))
        process.kill9()
        with _setting(process, "PYTHONPATH", str(folder)):
            process.start()
        self._over.wait(fault.lasts_s)
        process.kill9()
        process.start()

    def _downgrade(self, process: DagwayProcess, fault: Fault) -> None:
        """Run a process of the earlier version in place of this one, then this one again."""
        process.terminate()
        with _setting(process, "PYTHONPATH", str(self._earlier)):
            process.start()
        self._over.wait(fault.lasts_s)
        process.terminate()
        process.start()

    def _kill_child(self, process: DagwayProcess, _: Fault) -> None:
        # `dagway up` ends with its worker, so that a supervisor starts both again.
        os.kill(_worker_of(process), signal.SIGKILL)
        process.wait_exit()
        process.start()

    def _freeze_child(self, process: DagwayProcess, fault: Fault) -> None:
        worker = _worker_of(process)
        os.kill(worker, signal.SIGSTOP)
        self._over.wait(fault.lasts_s)
        os.kill(worker, signal.SIGCONT)


def _worker_of(process: DagwayProcess) -> int:
    """Return the worker process of ``dagway up``: the child with the same command line."""
    line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    for pid in descendants(process.pid):
        if Path(f"/proc/{pid}/cmdline").read_bytes() == line:
            return pid
    raise LookupError("dagway up has no worker process yet")


@contextmanager
def _setting(process: DagwayProcess, name: str, value: str) -> Iterator[None]:
    before = process.env.get(name)
    process.env[name] = value
    try:
        yield
    finally:
        if before is None:
            del process.env[name]
        else:
            process.env[name] = before
