"""The interface of executors, which run steps of one type each. ``dagway.executors`` publishes it for plugins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from services.worker.inputs.environment import Environment
from services.worker.inputs.named_files import EVERYTHING, Reach
from services.worker.process.outcome import Result
from services.worker.process.supervisor import Supervisor
from shared.language.model import Step
from shared.outbound import OutboundPolicy

__all__ = ["Executor", "Job", "StepIO"]


@dataclass(frozen=True, slots=True)
class StepIO:
    """Where a step writes. ``stdout`` and ``stderr`` are open descriptors, which an executor must not close."""

    stdout: int
    stderr: int
    stderr_tail: Callable[[], str] = field(default=lambda: "")
    """Returns the last 1024 bytes that the step wrote to stderr, with secrets masked, for error texts."""
    messages: list[tuple[str, str]] = field(default_factory=list)
    """The messages of a conversation, (role, content), which the executor adds. Reported with secrets masked."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a step, ready to run."""

    step: Step
    environment: Environment
    """``environment.process`` holds the environment variables of the step."""
    working_dir: Path
    """The step's directory, which may not exist yet."""
    shell: tuple[str, ...]
    """The words of the DAG's ``shell``; empty if the DAG names none. The step's own is ``step.shell``."""
    supervisor: Supervisor
    """Runs processes (``run``) and functions (``call``) under the attempt's timeout and stop."""
    options: dict[str, Any] = field(default_factory=dict)
    """The DAG's settings for steps of this type, such as its ``smtp``, ``ssh`` and ``container``."""
    reach: Reach = EVERYTHING
    """Which files the step may name. An executor that opens such a file itself must open it by ``reach``."""
    outbound: OutboundPolicy = "any"
    """Which addresses the step may connect to, if the executor connects by itself."""


class Executor(Protocol):
    """Runs steps of one type. A worker makes one instance and calls it from many threads at the same time."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run one attempt and return how it ended. May block.

        If an exception is raised, the outcome is ``broken`` and the exception's text is the error.
        """
