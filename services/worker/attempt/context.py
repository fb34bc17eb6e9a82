"""One attempt with its resources, and how they are prepared."""

import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from services.worker.inputs.environment import Inputs, prepare_inputs
from services.worker.inputs.sealing import PassedSecrets, Sealer, open_task
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.workspace import Workspace
from services.worker.output.files import LogPaths, OutputFiles, log_paths
from services.worker.output.log_shipper import AttemptLogs
from services.worker.process.outcome import Result, classify, error_text
from services.worker.process.stop_request import StopRequest
from services.worker.process.until_stopped import until_stopped
from shared.clock import utc_now
from shared.contracts.tasks import PREPARE, STEP, Task
from shared.tracing import SpanContext

__all__ = ["AttemptContext", "Preparation"]

_NO_LOGS = LogPaths("", "", "")


@dataclass(slots=True)
class AttemptContext:
    """One attempt and its resources; ``files``, ``inputs`` and ``logs`` are ``None`` until they are prepared."""

    given: Task
    """The task as it was sent: secrets in it are sealed."""
    task: Task
    stop: StopRequest
    run_span: SpanContext
    started_at: datetime
    paths: LogPaths
    logs_folder: Path | None
    """The folder below which ``paths`` are; ``None`` if the attempt has no log files."""
    chain_since_s: float
    """When this attempt, or the first one of its chain on this worker, was taken, by the monotonic clock."""
    files: OutputFiles | None = None
    inputs: Inputs | None = None
    passed: PassedSecrets = field(default_factory=PassedSecrets)
    logs: AttemptLogs | None = None
    error: str = ""
    """Why the files or inputs could not be prepared; empty if they could."""

    def note(self, text: str) -> None:
        """Add a line to this worker's log of the run."""
        if self.files is not None:
            self.files.note(f"{utc_now().isoformat()[:19]}Z {self.task.step.name}: {text}")

    def failure(self) -> Result:
        """Return the result of an attempt that has an ``error``. A stop wins, as over everything else."""
        if self.stop.kind is not None:
            return classify(None, name=self.task.step.name, interrupted=self.stop.kind)
        return Result("broken", 1, self.error)

    def close(self) -> None:
        """Close the log files."""
        if self.files is not None:
            self.files.close()


class Preparation:
    """Prepares attempts: log files, secrets and inputs. Thread-safe."""

    def __init__(self, workspace: Workspace, sealer: Sealer, resolver: SecretResolver) -> None:
        self._workspace = workspace
        self._sealer = sealer
        self._resolver = resolver

    def user_kept(self, task: Task) -> AbstractContextManager[None]:
        """Keep the user of the task's run from other runs inside the ``with`` block, whether or not a process runs."""
        return self._workspace.user_kept(task)

    def context(
        self, task: Task, stop: StopRequest, run_span: SpanContext, *, chain_since_s: float | None = None
    ) -> AttemptContext:
        """Return the context of an attempt that begins now. Its variables, secrets and folder do not exist yet."""
        logs = self._workspace.log_folder(task) if task.kind != PREPARE else None
        paths = _NO_LOGS if logs is None else log_paths(logs, task)
        since_s = time.monotonic() if chain_since_s is None else chain_since_s
        return AttemptContext(task, task, stop, run_span, utc_now(), paths, logs, since_s)

    def prepare(self, context: AttemptContext) -> None:
        """Prepare files and inputs. Whatever fails becomes ``context.error``."""
        try:
            if context.logs_folder is not None:
                make_folder = partial(self._workspace.make_log_folder, context.logs_folder, context.task)
                context.files = OutputFiles(context.paths, context.task, make_folder)
            context.task, context.passed = open_task(context.task, self._sealer)
            task, passed = context.task, context.passed.texts
            if context.logs_folder is not None:
                # Handlers and mails run without a missing secret: it may be what they report.
                folder, complete = self._workspace.dag_folder(task), task.kind == STEP
                reach, home = self._workspace.reach(task), self._workspace.home(task)
                find = partial(
                    prepare_inputs,
                    task,
                    folder,
                    resolver=self._resolver,
                    passed=passed,
                    all_secrets=complete,
                    reach=reach,
                    home=home,
                )
                # A provider of secrets may not answer.
                context.inputs = until_stopped(context.stop, find) if task.secrets else find()
        except Exception as error:  # noqa: BLE001 - any error becomes the outcome
            context.error = error_text(error)
