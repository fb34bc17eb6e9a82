"""CPU time of threads by name, from ``/proc`` and py-spy, which knows how a service has named its threads."""

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

from bench.measuring.processes import Pids, thread_s
from tests.harness.cluster import descendants

__all__ = ["ThreadTimes"]

_NUMBER = re.compile(r"[-_]w?\d+")
"""What tells threads of one kind apart: the number of a worker or of a thread."""


class ThreadTimes:
    """Measures the threads of services. ``pids``: by service; ``py_spy``: the program."""

    def __init__(self, pids: Pids, py_spy: Path) -> None:
        self._pids, self._py_spy = pids, py_spy
        self._before = self._spent()

    def since(self) -> dict[str, dict[str, float]]:
        """Return the seconds since the start by service and thread, without those that have ended.

        Threads of child processes, such as a worker's guardian, are under the name of their program.
        """
        found: dict[str, dict[str, float]] = {}
        now = self._spent()
        for service, pids in self._pids.items():
            names = {thread: name for pid in pids for thread, name in self._names(pid).items()}
            spent: dict[str, float] = defaultdict(float)
            for thread, (program, seconds) in now[service].items():
                spent[names.get(thread, program)] += seconds - self._before[service].get(thread, ("", 0.0))[1]
            found[service] = dict(sorted(spent.items(), key=lambda each: -each[1]))
        return found

    def _spent(self) -> dict[str, dict[int, tuple[str, float]]]:
        """Return the program and the seconds of each thread, by service."""
        return {
            service: {
                int(thread.name): ((thread / "comm").read_text().strip(), thread_s(thread))
                for pid in pids
                for each in (pid, *descendants(pid))
                for thread in Path(f"/proc/{each}/task").glob("*")
            }
            for service, pids in self._pids.items()
        }

    def _names(self, pid: int) -> dict[int, str]:
        dumped = subprocess.run(
            [self._py_spy, "dump", "--json", "--pid", str(pid)], stdout=subprocess.PIPE, text=True, check=True
        )
        return {
            one["os_thread_id"]: _NUMBER.sub("", one["thread_name"])
            for one in json.loads(dumped.stdout)
            if one["thread_name"]
        }
