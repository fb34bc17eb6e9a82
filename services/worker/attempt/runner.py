"""Make one attempt: what stands between its start report and its end report.

Order: the environment, the step's preconditions, the executor. The timeout counts from the executor.
"""

import itertools
import logging
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services.worker.attempt.fan_out import unfold
from services.worker.attempt.policies import look_back, retry_numbers
from services.worker.attempt.prepare import evaluate, judge, values
from services.worker.executors import executor_for
from services.worker.executors.base import Executor, Job, StepIO
from services.worker.executors.call_result import CallResultExecutor
from services.worker.inputs.conditions import check_each
from services.worker.inputs.environment import Environment, Ground, build_environment
from services.worker.inputs.workspace import LogPaths, OutputFiles, Places
from services.worker.output.annotations import Marks
from services.worker.output.log_shipper import LogStream, read_tail
from services.worker.output.masking import Masker
from services.worker.process.guardian_client import Guardian
from services.worker.process.outcome import Result, classify
from services.worker.process.shells import condition_shell
from services.worker.process.small_commands import Interrupted, exit_code_in, run_command_in
from services.worker.process.supervise import Stop, Supervisor
from shared.contracts.errands import SideTask
from shared.contracts.events import Said
from shared.contracts.tasks import CallResult, Task
from shared.errors import InvalidInput
from shared.language.expansion.expand import expand

__all__ = ["Made", "Maker"]

_log = logging.getLogger(__name__)
_TAIL_BYTES = 1024
_DIR_MODE = 0o750


@dataclass(frozen=True, slots=True)
class Made:
    """What an attempt came to, before its logs are shipped."""

    result: Result
    outputs: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)
    """Further fields of the report."""


class Maker:
    """Makes attempts with one guardian, in a worker's places."""

    def __init__(self, guardian: Guardian, places: Places) -> None:
        self._guardian = guardian
        self._places = places
        self._numbers = itertools.count(1)

    def prepare(self, task: Task, stop: Stop) -> Made:
        """Evaluate and judge. Values are reported however it ends: a later attempt of the run must find the same."""
        supervisor, outputs = self._supervisor(task, stop), dict[str, str]()
        try:
            evaluated = evaluate(task, supervisor, self._places)
            outputs = values(evaluated)
            result, facts = judge(evaluated, supervisor, self._places)
            return Made(result, outputs, facts)
        except Interrupted:
            return Made(_interrupted(task, supervisor), outputs)
        except Exception as error:  # noqa: BLE001 - whatever a task can cause here is told as its outcome
            _log.warning("attempt.broken", extra={"token": task.token}, exc_info=True)
            return Made(Result("broken", 1, str(error) or type(error).__name__), outputs)

    def execute(self, task: Task, stop: Stop, ground: Ground, files: OutputFiles, masker: Masker) -> Made:
        supervisor, paths = self._supervisor(task, stop), files.paths
        reserved = {"DAG_RUN_LOG_FILE": paths.run_log}
        if task.kind == "step":
            reserved["DAG_RUN_STEP_STDOUT_FILE"] = paths.stdout
            reserved["DAG_RUN_STEP_STDERR_FILE"] = paths.stderr or paths.stdout
        plain = {**ground.base, **ground.secrets, **dict(task.outputs), **dict(task.params), **reserved}
        cwd = self._directory(task, ground)
        environment = build_environment(task, ground, reserved, run_command_in(supervisor, plain, cwd))
        try:
            policy = task.step.retry_policy if task.kind == "step" else None
            try:
                retries = retry_numbers(policy, environment.full, run_command_in(supervisor, environment.process, cwd))
            except InvalidInput as error:
                return Made(Result("broken", 1, masker.text(str(error))), {}, {"retry_limit": 0})
            unmet, why = self._unmet(task, environment, supervisor, cwd)
            if any(unmet):
                told = tuple(masker.text(each) for each in unmet)
                return Made(Result("skipped", 0, masker.text(why)), {}, {"unmet": told})
            job = Job(task.step, environment, ground.working_dir, task.shell, supervisor, task.options)
            supervisor.start_clock()
            if task.step.call and "result" not in task.options:
                with suppress(OSError):
                    ground.working_dir.mkdir(_DIR_MODE, parents=True, exist_ok=True)
                cwd = self._directory(task, ground)
                calls = unfold(
                    task.step, environment.full, run_command_in(supervisor, environment.process, cwd), masker.text
                )
                return Made(
                    Result("succeeded"),
                    {},
                    {"children": tuple(call.model_copy(update={"folder": cwd}) for call in calls)},
                )

            def tail() -> str:
                # A pipe in between may still hold the very words that say why it failed.
                return masker.text(read_tail(Path(paths.stderr), _TAIL_BYTES)) if paths.stderr else ""

            executor = self._executor(task, masker)
            io = StepIO(files.stdout, files.stderr, tail)
            result = executor.run(job, io)
            files.finish()
            made = _with_output(task, files, Made(result, {}))
            # Asked anew: the step may have made its directory.
            cwd = self._directory(task, ground)
            # What looks at its files shall find them as later steps do.
            files.keep(masker)
            made = self._look_back(task, stop, made, environment, masker, cwd=cwd, paths=paths)
            made.facts.update(retries)
            if io.messages:
                said = tuple(Said(role=role, content=masker.text(text)) for role, text in io.messages)
                made.facts["messages"] = said
            return made
        except Interrupted:
            return Made(_interrupted(task, supervisor), {})

    def _directory(self, task: Task, ground: Ground) -> str:
        """Return where the conditions and back-quoted commands of an attempt run."""
        try:
            return str(ground.directory())
        except OSError:
            # What needs it says so itself; not all kinds of step do.
            folder = self._places.run_dir(task)
            folder.mkdir(_DIR_MODE, parents=True, exist_ok=True)
            return str(folder)

    def _executor(self, task: Task, masker: Masker) -> Executor:
        if "result" in task.options:
            return CallResultExecutor(CallResult.model_validate(task.options["result"]))
        if task.kind != "errand":
            return executor_for(task.step.type)
        # Only here: most workers' runs send no mail, and need no mail library.
        from services.worker.attempt.errand import ErrandExecutor  # noqa: PLC0415

        errand = SideTask.model_validate(task.options["errand"])
        return ErrandExecutor(errand, task.dag_name, self._places.log_folder(task), masker)

    def _look_back(
        self,
        task: Task,
        stop: Stop,
        made: Made,
        environment: Environment,
        masker: Masker,
        *,
        cwd: str,
        paths: LogPaths,
    ) -> Made:
        """Add what the step's policies ask for, and keep secrets out of all that is reported."""
        supervisor = self._supervisor(task, stop)
        facts = look_back(task, made.result, made.outputs, environment, supervisor, cwd=cwd, paths=paths)
        result = replace(made.result, error=masker.text(made.result.error))
        return Made(result, {name: masker.text(value) for name, value in made.outputs.items()}, facts)

    def _unmet(self, task: Task, environment: Environment, supervisor: Supervisor, cwd: str) -> tuple[list[str], str]:
        """Return of each condition why it is not met, and why the step is not run."""
        if not task.step.preconditions:
            return [], ""
        shell = condition_shell(task.step.shell, task.shell, environment.full)
        return check_each(
            task.step.preconditions,
            (environment.textual, environment.full),
            run_command_in(supervisor, environment.process, cwd),
            exit_code_in(supervisor, environment.process, cwd, shell),
        )

    def _supervisor(self, task: Task, stop: Stop) -> Supervisor:
        return Supervisor(
            self._guardian,
            str(next(self._numbers)),
            stop,
            timeout_s=task.timeout_s,
            grace_s=task.stop_grace_s,
            signal_on_stop=task.step.signal_on_stop,
        )

    def streams(self, task: Task, stop: Stop, ground: Ground, files: OutputFiles) -> tuple[LogStream, ...]:
        secrets = ground.hidden
        stdout_copy, stderr_copy = (
            files.open_copy(self._copy_path(task, stop, ground, text)) if text else None
            for text in (task.step.stdout, task.step.stderr)
        )
        if files.stderr_log is None and (stdout_copy is not None or stderr_copy is not None):
            files.copy_apart(stdout_copy, stderr_copy, Masker(secrets))
            stdout_copy = None
        marks = Marks(task.max_output_bytes) if task.kind != "errand" else None
        streams = [LogStream(task, "stdout", files.stdout_log, Masker(secrets), copy=stdout_copy, marks=marks)]
        if files.stderr_log is not None:
            streams.append(LogStream(task, "stderr", files.stderr_log, Masker(secrets), copy=stderr_copy))
        return tuple(streams)

    def _copy_path(self, task: Task, stop: Stop, ground: Ground, text: str) -> Path:
        """Relative to the step's directory, with its full scope."""
        environment = build_environment(task, ground, {}, None)
        run_command = run_command_in(self._supervisor(task, stop), environment.process, self._directory(task, ground))
        try:
            path = expand(text, environment.full, run_command)
        except Interrupted:
            # Nothing will be written: the step is stopped before it begins.
            path = os.devnull
        return ground.working_dir / Path(path).expanduser()


def _interrupted(task: Task, supervisor: Supervisor) -> Result:
    return classify(
        None,
        name=task.step.name,
        interrupted=supervisor.interrupted,
        timed_out_after_s=supervisor.timed_out_after_s,
        timeout_s=supervisor.timeout_s,
    )


def _with_output(task: Task, files: OutputFiles, made: Made) -> Made:
    """Add the captured variable; it is set for a failed step too, though not for one that never ran."""
    output = task.step.output
    if output is None or made.result.outcome == "skipped":
        return made
    size = os.fstat(files.captured).st_size
    if size > task.max_output_bytes:
        limit = f"output exceeded maximum size limit of {task.max_output_bytes} bytes"
        result = made.result
        if result.outcome == "succeeded":
            result = Result("failed", 1, f"failed to capture output: {limit}")
        return Made(result, {})
    text = os.pread(files.captured, size, 0).decode(errors="replace").strip()
    # NUL can neither be kept in a database's text nor be exported.
    return Made(made.result, {output.name: text.replace("\0", "")})
