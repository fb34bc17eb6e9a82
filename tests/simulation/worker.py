"""A simulated worker: the real one, but its steps are waits in simulated time instead of processes.

Everything that talks to schedulers is real: intake, grants, reports, spool, logs, heartbeats, control messages.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import services.worker.main as worker_main
from services.worker.attempt.fan_out import fan_out
from services.worker.attempt.runner import AttemptResult
from services.worker.inputs.environment import Inputs
from services.worker.inputs.sealing import PassedSecrets
from services.worker.main import Worker, WorkerSettings
from services.worker.output.annotations import Annotations
from services.worker.output.files import OutputFiles
from services.worker.output.log_stream import LogStream
from services.worker.output.masking import Masker
from services.worker.process.outcome import Result
from services.worker.process.stop_request import StopKind, StopRequest
from shared.contracts.events import Outcome
from shared.contracts.tasks import CallResult, Task
from shared.language.expansion.expand import Scope
from shared.language.steps.approval import APPROVAL
from tests.simulation.kernel import Host, Kernel
from tests.simulation.threads import Event
from tests.simulation.transport import SimulatedTransport

__all__ = ["Execution", "Ledger", "make_worker"]

_SLOTS = 2
_MEAN_S = 1.0
_LONG_S = 25.0
_LONG = 0.08
_SHORT_S = 0.1
_FAILS = 0.12


@dataclass(slots=True)
class Execution:
    """One execution of a step, written by the step itself. ``outcome`` is empty if its worker died meanwhile."""

    token: str
    run_key: str
    node: int
    run_attempt: int
    number: int
    kind: str
    worker: str
    retries: bool
    repeats: bool
    """Whether the step prints what sub-runs did, or a question: that is done again without harm."""
    began_s: float
    ended_s: float | None = None
    outcome: str = ""


@dataclass(slots=True)
class Ledger:
    """All executions. It survives every fault, as it is no part of the system."""

    executions: list[Execution] = field(default_factory=list)
    hurry: bool = False
    """Whether all steps are short from now on, so that a backlog is soon worked off."""


class _NoGuardian:
    """Steps are no processes here, so nothing starts or guards them."""

    lost = False

    def __init__(self, *_: object) -> None:
        pass

    def wake(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class _EnoughRoom:
    """A disk that is never full. The real check writes a file each second."""

    def __init__(self, _folder: Path) -> None:
        pass

    def problem(self) -> str:
        return ""


class _Runner:
    """In place of ``AttemptRunner``: writes the ledger, waits, and ends as the seed says."""

    def __init__(self, kernel: Kernel, host: Host, ledger: Ledger, rng: random.Random) -> None:
        self._kernel, self._host, self._ledger, self._rng = kernel, host, ledger, rng

    def prepare(self, task: Task, stop: StopRequest, _passed: PassedSecrets) -> AttemptResult:
        outcome = self._execute(task, stop, fails=0.0)
        return AttemptResult(_result(outcome), {"env": "[]", "params": "[]"})

    def execute(
        self,
        task: Task,
        stop: StopRequest,
        _inputs: Inputs,
        files: OutputFiles,
        *,
        masker: Masker,
        follow_logs: Callable[[tuple[LogStream, ...]], None],
    ) -> AttemptResult:
        follow_logs(_streams(task, files, masker))
        os.write(files.stdout, f"begins {task.token}\n".encode())
        if "result" in task.options:
            called = CallResult.model_validate(task.options["result"])
            outcome = self._execute(task, stop, fails=float(called.failed))
            return AttemptResult(_result(outcome))
        if task.step.call:
            outcome = self._execute(task, stop, fails=0.0)
            calls = fan_out(task.step, Scope(({},)), str) if outcome == "succeeded" else ()
            return AttemptResult(_result(outcome), facts={"children": calls})
        outcome = self._execute(task, stop, fails=_FAILS)
        os.write(files.stdout, f"ends {outcome}\n".encode())
        return AttemptResult(_result(outcome))

    def _execute(self, task: Task, stop: StopRequest, *, fails: float) -> Outcome:
        mine = Execution(
            task.token,
            task.run_key,
            task.node,
            task.run_attempt,
            task.number,
            task.kind,
            self._host.name,
            task.step.retry_policy is not None,
            bool(task.step.call) or task.step.type == APPROVAL,
            self._kernel.now_s,
        )
        self._ledger.executions.append(mine)
        self._kernel.note(f"{self._host.name} begins {task.token}")
        lasts_s = self._lasts_s()
        ended = Event()
        stop.listen(ended.set)
        ended.wait(lasts_s)
        stop.unlisten(ended.set)
        outcome: Outcome = "failed" if self._rng.random() < fails else "succeeded"
        if stop.kind is not None:
            outcome = "broken" if stop.kind is StopKind.SHUTDOWN else "aborted"
        mine.ended_s, mine.outcome = self._kernel.now_s, outcome
        self._kernel.note(f"{self._host.name} ends {task.token} {outcome}")
        return outcome

    def _lasts_s(self) -> float:
        if self._ledger.hurry:
            return _SHORT_S
        return self._rng.expovariate(1 / _MEAN_S) if self._rng.random() > _LONG else self._rng.uniform(5.0, _LONG_S)


def _result(outcome: Outcome) -> Result:
    return Result(outcome, int(outcome != "succeeded"))


def _streams(task: Task, files: OutputFiles, masker: Masker) -> tuple[LogStream, ...]:
    annotations = Annotations(task.max_output_bytes)
    streams = [LogStream(task, "stdout", files.stdout_log, masker.copy(), annotations=annotations)]
    if files.stderr_log is not None:
        streams.append(LogStream(task, "stderr", files.stderr_log, masker.copy()))
    return tuple(streams)


def make_worker(
    kernel: Kernel,
    host: Host,
    transport: SimulatedTransport,
    ledger: Ledger,
    rng: random.Random,
    *,
    worker_id: str,
    folder: Path,
    lease_s: float,
) -> Worker:
    """Return a worker whose steps are simulated. ``folder`` is its data folder, which survives its death."""
    runner = _Runner(kernel, host, ledger, rng)
    instead = {
        "GuardianClient": _NoGuardian,
        "DiskCheck": _EnoughRoom,
        "available_types": lambda: ("command",),
        "AttemptRunner": lambda *_: runner,
    }
    for name, stand_in in instead.items():
        setattr(worker_main, name, stand_in)
    settings = WorkerSettings(worker_id=worker_id, slots=_SLOTS, data_dir=folder, lease_s=lease_s, version="sim")
    return Worker(transport, settings)
