"""Steps in containers, through the Docker API (of Docker or Podman).

A step runs in one of three kinds of container: its own, which is removed when the step ends; an existing container; or
the container of the run, which the first step that needs it starts. A container is not a child process of the worker:
it is stopped through the engine, and the guardian removes it if the worker dies.
Source: docs/executors.md#details-of-each-type and docs/workflow-reference.md#what-it-does.
"""

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.executors.cancel_scope import Cancelled, CancelScope
from services.worker.executors.container.engine import MARK, Engine, EngineError
from services.worker.executors.container.spec import ContainerSpec, read_spec
from services.worker.executors.results import make_result, process_result
from services.worker.executors.step_values import evaluate
from services.worker.inputs.environment import host_variables
from services.worker.process.outcome import ProcessExit, Result
from shared.errors import InvalidInput
from shared.ids import new_token
from shared.language.expansion.expand import Scope, expand
from shared.language.model import StepCommand

__all__ = ["DockerExecutor", "remove_run_container"]

_ANSWER_S = 5.0
"""How long the end of a step waits for an engine that does not answer. Its requests then go on without the step."""


class DockerExecutor:
    """Runs the commands of a step in a container."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run the commands. The exit code is the exit code of the container, or of the command that ran in it."""
        attempt = _ContainerAttempt(job, io)
        try:
            return attempt.result(job.supervisor.call(attempt.run, attempt.stop))
        except (EngineError, Cancelled, OSError) as error:
            return make_result(job, str(error) or "the container was stopped")
        finally:
            attempt.await_removal()


class _ContainerAttempt:
    """One attempt of a container step."""

    def __init__(self, job: Job, io: StepIO) -> None:
        self._job = job
        self._io = io
        self._scope = CancelScope()
        self._engine: Engine
        self._removed = threading.Event()
        self._removed.set()
        self._mark = new_token()
        self._number = 0
        self._own = ""
        """Name of the step's own container, which is removed when the step ends; empty if there is none to remove."""
        self._inside = ""
        """Name of the container that a command runs in."""
        auths = job.options.get("registry_auths") or os.environ.get("DOCKER_AUTH_CONFIG") or {}
        self._auths = evaluate(job, auths)

    def run(self) -> int:
        """Run the step's commands in its container, remove it if it is the step's own, and return the exit code."""
        # Here, where the timeout and a stop count: the engine may not answer.
        self._engine = Engine(host_variables())
        try:
            return self._run()
        finally:
            self._engine.close()

    def _run(self) -> int:
        job = self._job
        given = job.step.container or job.step.config
        if not given and (shared := job.options.get("container")):
            return self._in_run_container(evaluate(job, shared))
        if not given:
            raise InvalidInput("a container step needs container, or config with image or containerName")
        spec = read_spec(evaluate(job, given), job.working_dir, self._step_env())
        commands = self._commands(spec)
        if spec.exec and (not spec.image or self._engine.is_running(spec.exec)):
            return self._each(spec.exec, commands, spec)
        return self._in_own_container(spec, commands)

    def _commands(self, spec: ContainerSpec) -> list[list[str]]:
        """Return the words of each command, expanded. The container's ``env`` has the lowest precedence."""
        full = self._job.environment.full
        scope = replace(full, maps=(*full.maps, spec.env))
        return [_words(command, scope) for command in self._job.step.commands]

    def _step_env(self) -> dict[str, str]:
        process = self._job.environment.process
        return {name: process[name] for name, _ in self._job.step.env if name in process}

    def _in_own_container(self, spec: ContainerSpec, commands: list[list[str]]) -> int:
        name = spec.name or f"dagway-{self._mark}"
        background = len(commands) > 1 or spec.startup != ""
        if not spec.keep:
            self._own = name
            self._removed.clear()
        with self._job.supervisor.cleanup(argv=() if spec.keep else self._engine.removal_argv(name, self._mark)):
            try:
                self._engine.pull(spec, self._auths, self._scope)
                if not background:
                    container = self._create(name, spec, commands[0] if commands else None)
                    return self._engine.run_attached(container, self._scope, self._io)
                container = self._create(name, spec, None, background=True)
                self._engine.start_ready(container, spec, self._scope)
                return self._each(name, commands, spec)
            finally:
                self._remove_own()

    def _create(self, name: str, spec: ContainerSpec, words: list[str] | None, background: bool = False) -> str:
        run = self._job.environment.process.get("DAG_RUN_ID", "")
        dag = self._job.environment.process.get("DAG_NAME", "")
        labels = {"dagway.dag": dag, "dagway.run": run, "dagway.step": self._job.step.name, MARK: self._mark}
        container = self._engine.create(name, spec, words, labels, background=background)
        self._scope.check()
        return container

    def _in_run_container(self, given: Any) -> int:
        job = self._job
        spec = read_spec(given, job.working_dir, {})
        commands = self._commands(spec)
        if spec.exec:
            return self._each(spec.exec, commands, spec)
        name, labels = _run_container(job, spec)
        self._engine.pull(spec, self._auths, self._scope)
        mark = job.supervisor.worker_mark
        if not spec.keep:
            # A follow-up removes the container at the end of the run. If this worker ends before, its guardian removes
            # it.
            job.supervisor.keep_cleanup(name, self._engine.removal_argv(name, mark))
        self._engine.ensure(name, spec, labels, mark, self._scope)
        return self._each(name, commands, read_spec({**_dict(given), "env": []}, job.working_dir, self._step_env()))

    def _each(self, container: str, commands: Sequence[list[str]], spec: ContainerSpec) -> int:
        self._inside = container
        with self._job.supervisor.cleanup(argv=self._engine.kill_argv(container, self._mark)):
            for words in commands:
                self._number += 1
                code = self._engine.execute(container, words, spec, self._mark, cancel_scope=self._scope, io=self._io)
                if code != 0:
                    return code
        return 0

    def stop(self) -> None:
        """End the running container or command at a stop or the timeout, with the stop signal and grace period."""
        ending = threading.Thread(target=self._end, name="container-end", daemon=True)
        ending.start()
        ending.join(self._job.supervisor.grace_s + _ANSWER_S)
        self._scope.cancel()

    def _end(self) -> None:
        supervisor = self._job.supervisor
        with suppress(EngineError, OSError):
            if self._inside and self._inside != self._own:
                self._engine.end_inside(self._inside, self._mark, supervisor.stop_signal, supervisor.grace_s)
            elif self._own:
                self._engine.stop(self._own, supervisor.stop_signal, supervisor.grace_s)

    def _remove_own(self) -> None:
        try:
            if self._own:
                self._engine.remove(self._own, {MARK: self._mark})
        finally:
            self._removed.set()

    def await_removal(self) -> None:
        """Wait until the step's own container is removed, unless the engine does not answer."""
        self._scope.cancel()
        self._removed.wait(_ANSWER_S)

    def result(self, code: int | None) -> Result:
        ended = None if code is None else ProcessExit(code=code)
        command = self._number if len(self._job.step.commands) > 1 else 0
        return process_result(self._job, self._io, ended, command)


def _words(command: StepCommand, scope: Scope) -> list[str]:
    first, *rest = command.argv or (command.text,)
    return [first, *(expand(word, scope) for word in rest)]


def remove_run_container(job: Job, container: dict[str, Any]) -> None:
    """Remove the container of the run, if it exists.

    Raises:
        EngineError: the engine refuses the request, or cannot be reached.
    """
    name, labels = _run_container(job, read_spec(evaluate(job, container), job.working_dir, {}))
    engine = Engine(host_variables())
    try:
        engine.remove(name, labels)
    finally:
        engine.close()
    job.supervisor.drop_cleanup(name)


def _run_container(job: Job, spec: ContainerSpec) -> tuple[str, dict[str, str]]:
    """Return the name of the run's container, and the labels that the run's container has."""
    process = job.environment.process
    dag, run = process.get("DAG_NAME", ""), process.get("DAG_RUN_ID", "")
    return spec.name or f"dagway-run-{dag}-{run}", {"dagway.dag": dag, "dagway.run": run, "dagway.shared": "true"}


def _dict(given: Any) -> dict[str, Any]:
    return dict(given) if isinstance(given, dict) else {"exec": given}
