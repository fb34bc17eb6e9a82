"""Run one attempt, after its start report and before its end report.

Order: environment, log streams, preconditions, executor, policies. The step's timeout starts with the executor.
"""

import itertools
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from services.worker.attempt.fan_out import fan_out
from services.worker.attempt.policies import evaluate_policies, retry_numbers
from services.worker.attempt.prepare import check_preconditions, evaluate_dag, values_of
from services.worker.attempt.sealed_calls import sealed_call
from services.worker.executors import executor_for
from services.worker.executors.base import Executor, Job, StepIO
from services.worker.executors.call_result import CallResultExecutor
from services.worker.inputs.conditions import check_each
from services.worker.inputs.environment import Environment, Inputs, build_environment
from services.worker.inputs.sealing import PassedSecrets, Seal, Sealer
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.workspace import Workspace, run_folder
from services.worker.output.annotations import Annotations
from services.worker.output.files import LogPaths, OutputFiles
from services.worker.output.log_shipper import read_tail
from services.worker.output.log_stream import LogStream
from services.worker.output.masking import Masker
from services.worker.output.opened_by_name import scripts_open_by_name, texts_of
from services.worker.process.capture import CommandFailed, Interrupted, exit_code_in, run_command_in
from services.worker.process.guardian_client import GuardianClient
from services.worker.process.jq_filter import run_filter_in
from services.worker.process.outcome import Result, error_text
from services.worker.process.shells import condition_shell
from services.worker.process.stop_request import StopRequest
from services.worker.process.supervisor import Supervisor
from shared.contracts.events import ChatMessage, Stream
from shared.contracts.follow_ups import FOLLOW_UP, FollowUp
from shared.contracts.tasks import STEP, CallResult, Task
from shared.errors import DagwayError, InvalidInput
from shared.language.expansion.expand import ExpansionError, RunCommand, expand
from shared.outbound import OutboundPolicy
from shared.workspaces import plain_name

__all__ = ["AttemptResult", "AttemptRunner", "broken"]

_log = logging.getLogger(__name__)
_TAIL_BYTES = 1024


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The outcome of an attempt, its output variables and further fields of its end report."""

    result: Result
    outputs: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    """Further fields of ``AttemptFinished``, by name."""


@dataclass(frozen=True, slots=True)
class _Execution:
    """One attempt of a step or a follow-up, with its inputs, files and supervisor."""

    task: Task
    stop: StopRequest
    inputs: Inputs
    files: OutputFiles
    masker: Masker
    supervisor: Supervisor
    environment: Environment
    cwd: str
    """Where conditions and back-quoted commands run."""

    def run_command(self) -> RunCommand:
        return run_command_in(self.supervisor, self.environment.process, self.cwd)


class AttemptRunner:
    """Runs attempts. Thread-safe."""

    def __init__(
        self,
        guardian: GuardianClient,
        workspace: Workspace,
        sealer: Sealer,
        resolver: SecretResolver,
        outbound: OutboundPolicy,
    ) -> None:
        self._outbound = outbound
        self._guardian = guardian
        self._workspace = workspace
        self._sealer = sealer
        self._resolver = resolver
        self._numbers = itertools.count(1)

    def prepare(self, task: Task, stop: StopRequest, passed: PassedSecrets) -> AttemptResult:
        """Run a prepare attempt: evaluate a run's env and params, and check its preconditions.

        Whatever the outcome, the report contains the evaluated values: every later attempt of the run must use the
        same values. Those that contain a secret of the calling run are sealed.
        """
        supervisor, outputs = self._supervisor(task, stop), dict[str, str]()
        masker = Masker(passed.texts)
        try:
            evaluated = evaluate_dag(task, supervisor, self._workspace, self._outbound)
            outputs = values_of(evaluated, Seal(self._sealer, task, masker.text), whole=passed.whole)
            result, facts = check_preconditions(evaluated, supervisor, self._workspace, self._resolver, passed.texts)
            return AttemptResult(result, outputs, facts)
        except Interrupted:
            return AttemptResult(supervisor.classify(None, name=task.step.name), outputs)
        except Exception as error:  # noqa: BLE001 - any error becomes the outcome
            return AttemptResult(broken(task, error, masker), outputs)

    def execute(
        self,
        task: Task,
        stop: StopRequest,
        inputs: Inputs,
        files: OutputFiles,
        *,
        masker: Masker,
        follow_logs: Callable[[tuple[LogStream, ...]], None],
    ) -> AttemptResult:
        """Run a step or a follow-up. Calls ``follow_logs`` with its log streams before anything is written to them."""
        supervisor, cwd = self._supervisor(task, stop), self._directory(task, inputs)
        reserved = _log_variables(task, files.paths)
        # What the back-quoted commands in the step's own env see.
        process = {**inputs.base, **inputs.secrets, **dict(task.outputs), **dict(task.params), **reserved}
        policy = task.step.retry_policy if task.kind == STEP else None
        try:
            environment = build_environment(
                task,
                inputs,
                reserved,
                run_command_in(supervisor, process, cwd),
                run_filter_in(supervisor),
                mask=masker.text,
            )
            execution = _Execution(task, stop, inputs, files, masker, supervisor, environment, cwd)
            follow_logs(self._open_logs(execution))
            try:
                retries = retry_numbers(policy, environment.full, execution.run_command())
            except InvalidInput as error:
                return AttemptResult(Result("broken", 1, masker.text(str(error))), facts={"retry_limit": 0})
            unmet, why = _check_preconditions(execution)
            if any(unmet):
                reasons = tuple(masker.text(each) for each in unmet)
                return AttemptResult(Result("skipped", 0, masker.text(why)), facts={"unmet": reasons})
            supervisor.start_clock()
            if task.step.call and "result" not in task.options:
                return self._call_sub_runs(execution)
            return self._run_executor(execution, retries)
        except Interrupted:
            return AttemptResult(supervisor.classify(None, name=task.step.name))

    def _run_executor(self, execution: _Execution, retries: dict[str, Any]) -> AttemptResult:
        task, files, masker = execution.task, execution.files, execution.masker

        def stderr_tail() -> str:
            # May lack the end of stderr while a pipe copier has not written it yet.
            return masker.text(read_tail(files.stderr_log, _TAIL_BYTES)) if files.stderr_log is not None else ""

        io = StepIO(files.stdout, files.stderr, stderr_tail)
        job = Job(
            task.step,
            execution.environment,
            execution.inputs.working_dir,
            task.shell,
            execution.supervisor,
            task.options,
            self._workspace.reach(task),
            self._outbound,
        )
        result = self._executor(task, masker).run(job, io)
        files.finish()
        attempt = _with_output(task, files, result)
        # Before the policies: they read the masked output, as later steps do.
        files.keep(masker)
        facts = evaluate_policies(
            task,
            attempt.result,
            attempt.outputs,
            execution.environment,
            # A supervisor of its own: the step's timeout is over, and a stop must end this too.
            self._supervisor(task, execution.stop),
            # Asked again: the step may have made its directory.
            cwd=lambda: self._directory(task, execution.inputs),
            paths=files.paths,
        )
        attempt.facts.update(facts, **retries)
        if io.messages:
            messages = tuple(ChatMessage(role=role, content=masker.text(text)) for role, text in io.messages)
            attempt.facts["messages"] = messages
        if not masker:
            return attempt
        masked = {name: masker.text(value) for name, value in attempt.outputs.items()}
        return replace(attempt, result=replace(attempt.result, error=masker.text(attempt.result.error)), outputs=masked)

    def _call_sub_runs(self, execution: _Execution) -> AttemptResult:
        """Return the sub-runs of a ``call`` step as the attempt's result. A scheduler starts them."""
        task, inputs = execution.task, execution.inputs
        with suppress(OSError):
            self._workspace.make_folder(inputs.working_dir, task)
        cwd = self._directory(task, inputs)
        run_command = run_command_in(execution.supervisor, execution.environment.process, cwd)
        mask = execution.masker.text
        calls = fan_out(task.step, execution.environment.full, run_command, mask)
        seal = Seal(self._sealer, task, mask)
        sealed = (sealed_call(call, mask, seal) for call in calls)
        children = tuple(call.model_copy(update={"folder": cwd}) for call in sealed)
        return AttemptResult(Result("succeeded"), facts={"children": children})

    def _directory(self, task: Task, inputs: Inputs) -> str:
        """Return the directory in which conditions and back-quoted commands run."""
        try:
            return str(self._workspace.directory(task, inputs))
        except OSError:
            # Not every type of step needs its directory; a step that does fails in its executor.
            return str(self._workspace.make_run_dir(task))

    def _executor(self, task: Task, masker: Masker) -> Executor:
        if "result" in task.options:
            return CallResultExecutor(CallResult.model_validate(task.options["result"]))
        if task.kind != FOLLOW_UP:
            return executor_for(task.step.type)
        # Imported here, so that a worker that sends no mail needs no mail library.
        from services.worker.executors.follow_up import FollowUpExecutor  # noqa: PLC0415

        follow_up = FollowUp.model_validate(task.options[FOLLOW_UP])
        logs = self._workspace.log_folder(task) / run_folder(task)
        return FollowUpExecutor(follow_up, plain_name(task.dag_name), logs, masker)

    def _supervisor(self, task: Task, stop: StopRequest) -> Supervisor:
        return Supervisor(
            self._guardian,
            str(next(self._numbers)),
            stop,
            timeout_s=task.timeout_s,
            grace_s=task.stop_grace_s,
            signal_on_stop=task.step.signal_on_stop,
            user=self._workspace.user(task),
            check_folder=self._workspace.making(task).check,
        )

    def _open_logs(self, execution: _Execution) -> tuple[LogStream, ...]:
        """Return the log streams for the log shipper. Opens the files that ``stdout:`` and ``stderr:`` name."""
        task, files, masker = execution.task, execution.files, execution.masker
        stdout_file, stderr_file = (
            self._open_copy(execution, text) if text else None for text in (task.step.stdout, task.step.stderr)
        )
        if files.stderr_log is None and (stdout_file is not None or stderr_file is not None):
            files.copy_separately(stdout_file, stderr_file, masker)
            stdout_file = None
        variables, reach = execution.environment.process, self._workspace.reach(task)
        if scripts_open_by_name(texts_of(task.step), execution.cwd, variables, reach):
            files.allow_opening_by_name()
        annotations = Annotations(task.max_output_bytes) if task.kind != FOLLOW_UP else None

        def stream(name: Stream, log: int, file: int | None) -> LogStream:
            copy = None if file is None else files.copied(log, file, masker)
            notes = annotations if name == "stdout" else None
            return LogStream(task, name, log, masker.copy(), copy=copy, annotations=notes)

        streams = [stream("stdout", files.stdout_log, stdout_file)]
        if files.stderr_log is not None:
            streams.append(stream("stderr", files.stderr_log, stderr_file))
        return tuple(streams)

    def _open_copy(self, execution: _Execution, text: str) -> int | None:
        path = self._copy_path(execution, text)
        task, workspace = execution.task, self._workspace
        make_folder = partial(workspace.make_folder, task=task)
        try:
            return execution.files.open_copy(path, workspace.reach(task), workspace.user(task), make_folder)
        except OSError as error:
            raise InvalidInput(f"the output of the step cannot be written to {path}: {error.strerror}") from error

    def _copy_path(self, execution: _Execution, text: str) -> Path:
        """Expand the file name in ``stdout:`` or ``stderr:``. A relative name is below the step's directory."""
        environment = execution.environment
        supervisor = self._supervisor(execution.task, execution.stop)
        run_command = run_command_in(supervisor, environment.process, execution.cwd)
        try:
            path = expand(text, environment.full, run_command)
        except Interrupted:
            # The step does not start, so nothing is written.
            path = os.devnull
        return execution.inputs.working_dir / Path(path).expanduser()


def broken(task: Task, error: Exception, masker: Masker) -> Result:
    """Log an error that ended an attempt, and return the result of the attempt."""
    why = masker.text(error_text(error))
    # A mistake in the workflow needs no traceback, which can also contain the value of a secret.
    unexpected = not (masker or isinstance(error, DagwayError | ExpansionError | CommandFailed))
    _log.warning("attempt.broken", extra={"token": task.token, "error": why}, exc_info=unexpected)
    return Result("broken", 1, why)


def _log_variables(task: Task, paths: LogPaths) -> dict[str, str]:
    """Return the environment variables that tell a step the paths of its log files."""
    variables = {"DAG_RUN_LOG_FILE": paths.run_log}
    if task.kind == STEP:
        variables["DAG_RUN_STEP_STDOUT_FILE"] = paths.stdout
        variables["DAG_RUN_STEP_STDERR_FILE"] = paths.stderr or paths.stdout
    return variables


def _check_preconditions(execution: _Execution) -> tuple[list[str], str]:
    """Return one text for each condition (empty if it is met), and the reason to skip the step (empty if none)."""
    task, environment = execution.task, execution.environment
    if not task.step.preconditions:
        return [], ""
    shell = condition_shell(task.step.shell, task.shell, environment.full)
    return check_each(
        task.step.preconditions,
        (environment.textual, environment.full),
        execution.run_command(),
        exit_code_in(execution.supervisor, environment.process, execution.cwd, shell),
    )


def _with_output(task: Task, files: OutputFiles, result: Result) -> AttemptResult:
    """Add the variable that ``output:`` names. A failed step sets the variable too, a skipped step does not."""
    output = task.step.output
    if output is None or result.outcome == "skipped":
        return AttemptResult(result)
    size = os.fstat(files.captured).st_size
    if size > task.max_output_bytes:
        limit = f"output exceeded maximum size limit of {task.max_output_bytes} bytes"
        if result.outcome == "succeeded":
            result = Result("failed", 1, f"failed to capture output: {limit}")
        return AttemptResult(result)
    text = os.pread(files.captured, size, 0).decode(errors="replace").strip()
    # Neither a text column nor an environment variable can contain NUL.
    return AttemptResult(result, {output.name: text.replace("\0", "")})
