"""What an executor is: it does the work of one step type, given everything ready."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from services.worker.inputs.environment import Environment
from services.worker.process.outcome import Result
from services.worker.process.supervise import Supervisor
from shared.language.model import Step

__all__ = ["Executor", "Job", "StepIO"]


@dataclass(frozen=True, slots=True)
class StepIO:
    """Where a step writes: descriptors open for appending, which the executor must not close."""

    stdout: int
    stderr: int
    stderr_tail: Callable[[], str] = field(default=lambda: "")
    """The last bytes of stderr, with secrets masked, for error texts."""
    messages: list[tuple[str, str]] = field(default_factory=list)
    """Role and content of what a conversation came to; reported, with secrets masked."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt, ready to be made.

    ``supervisor`` runs processes under the attempt's timeout and stop; an executor that works in
    this process watches ``supervisor.stop`` and ``supervisor.remaining_s`` itself.
    """

    step: Step
    environment: Environment
    working_dir: Path
    shell: tuple[str, ...]
    """The dag's shell; empty: the host's default."""
    supervisor: Supervisor
    options: dict[str, Any] = field(default_factory=dict)


class Executor(Protocol):
    """Does one step; called on a thread of its own, so it may block."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Make the attempt. What it raises becomes the outcome ``broken`` with the error's text."""
