"""The interface of an executor: it runs steps of one type. ``dagway.executors`` publishes it for plugins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from services.worker.inputs.environment import Environment
from services.worker.process.outcome import Result
from services.worker.process.supervisor import Supervisor
from shared.language.model import Step

__all__ = ["Executor", "Job", "StepIO"]


@dataclass(frozen=True, slots=True)
class StepIO:
    """Where a step writes. The descriptors are open for appending; an executor must not close them."""

    stdout: int
    stderr: int
    stderr_tail: Callable[[], str] = field(default=lambda: "")
    """Returns the last bytes of stderr, with secrets masked, for error texts."""
    messages: list[tuple[str, str]] = field(default_factory=list)
    """Role and content of the messages of a conversation. They are reported with secrets masked."""


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a step, ready to run."""

    step: Step
    environment: Environment
    """``environment.process`` holds the environment variables of the step."""
    working_dir: Path
    """May not exist yet."""
    shell: tuple[str, ...]
    """The DAG's shell; empty: the worker's default."""
    supervisor: Supervisor
    """Runs processes (``run``) and functions (``call``) under the attempt's timeout and stop."""
    options: dict[str, Any] = field(default_factory=dict)
    """What the DAG says for steps of this type, such as ``smtp``, ``ssh`` and ``container``."""


class Executor(Protocol):
    """Runs steps of one type. A worker makes one instance and calls it on many threads at once."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run one attempt; it may block. An exception becomes the outcome ``broken`` with its text as the error."""
