"""CPU time and phases of a contender during each workload."""

import time
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from bench.loads.small import Sizes
from bench.measuring.processes import cpu_of_each_s
from bench.systems.contenders import Running

__all__ = ["Meter"]

_PHASES = frozenset({"dagway_run_phase_seconds_sum", "dagway_gateway_run_phase_seconds_sum"})


class Meter:
    """Measures the CPU time of a contender's processes during a workload, and with ``phases`` those of w1."""

    def __init__(self, running: Running, sizes: Sizes, *, phases: bool) -> None:
        self._running = running
        self._units = {"w1": sizes.single, "w2": sizes.many, "w3": sizes.wide, "w4": sizes.chain}
        self._of_phases = "w1" if phases and running.metrics else None
        self._before: dict[str, float] = {}
        self._phases: dict[str, float] = {}
        self._began: float | None = None
        self.core_ms: dict[str, dict[str, float]] = {}
        """Core-milliseconds for each run or step, by workload and kind of process."""
        self.phases_ms: dict[str, float] = {}
        """Milliseconds of each phase of a run of w1, and under ``client`` what the client measured."""

    def __call__(self, workload: str) -> None:
        """Begin or end a workload."""
        if self._began is None:
            self._phases = self._read_phases() if workload == self._of_phases else {}
            self._before, self._began = cpu_of_each_s(self._running.pids), time.perf_counter()
            return
        units, before, lasted_s = self._units[workload], self._before, time.perf_counter() - self._began
        now = cpu_of_each_s(self._running.pids)
        self.core_ms[workload] = {kind: (now[kind] - before[kind]) / units * 1000 for kind in before}
        self._began = None
        if workload == self._of_phases:
            # Counted after the answer: let the last counts come.
            time.sleep(0.5)
            phases = self._read_phases()
            self.phases_ms = {phase: (phases[phase] - self._phases.get(phase, 0)) / units * 1000 for phase in phases}
            self.phases_ms["client"] = lasted_s / units * 1000

    def _read_phases(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for url in self._running.metrics:
            with urllib.request.urlopen(url, timeout=30) as answer:
                text = answer.read().decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    if sample.name in _PHASES:
                        phase = sample.labels["phase"]
                        found[phase] = found.get(phase, 0.0) + sample.value
        return found
