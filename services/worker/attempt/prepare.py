"""The prepare attempt: evaluate on this host what a scheduler cannot.

The dag's env and params (back-quoted commands run here, and see this host's variables, though never
the service's own), then the dag's preconditions. Unmet preconditions make the outcome ``skipped``.
A run that has values keeps them: only its preconditions are judged anew.
"""

import json
from pathlib import Path

from services.worker.inputs.conditions import check_each
from services.worker.inputs.environment import build_environment, dag_directory, host_variables, lay_ground
from services.worker.inputs.param_schema import apply_schema
from services.worker.inputs.workspace import Places
from services.worker.output.masking import Masker
from services.worker.process.outcome import Result
from services.worker.process.shells import condition_shell
from services.worker.process.small_commands import exit_code_in, run_command_in
from services.worker.process.supervise import Supervisor
from shared.contracts.tasks import Task
from shared.language.expansion.expand import Scope, expand
from shared.language.expansion.params_syntax import params_json, parse_params_text
from shared.language.expansion.resolve import resolve_env, resolve_params
from shared.language.model import Dag

__all__ = ["evaluate", "judge", "values"]


def evaluate(task: Task, supervisor: Supervisor, places: Places) -> Task:
    """Return the task with the values of env and params; one that has them already comes back as it is."""
    folder = places.dag_folder(task)
    folder.mkdir(0o750, parents=True, exist_ok=True)
    if task.env or task.params:
        return task
    given = task.options["prepare"]
    dag = Dag.model_validate(given["dag"])
    host = host_variables()
    run = run_command_in(supervisor, host, str(folder))
    env = resolve_env(dag.env, host, run)
    run = run_command_in(supervisor, {**host, **dict(env)}, str(folder))
    params, params_text = resolve_params(dag, given["given"], env=env, lookup=host, run_command=run)
    if dag.param_schema:
        scope = Scope((dict(env), host))
        folders = (dag_directory(task, folder, scope), folder)
        params = apply_schema(expand(dag.param_schema, scope), params, folders)
        found, was_json = parse_params_text(given["given"])
        if not (found and was_json):
            params_text = params_json(params)
    return task.model_copy(update={"env": env, "params": params, "params_json": params_text})


def values(task: Task) -> dict[str, str]:
    """Return an evaluated task's values as outputs: ``env``, ``params`` (JSON lists of pairs) and ``params_json``."""
    outputs = {"env": json.dumps(task.env), "params": json.dumps(task.params)}
    return outputs if task.params_json is None else {**outputs, "params_json": task.params_json}


def judge(task: Task, supervisor: Supervisor, places: Places) -> tuple[Result, dict[str, tuple[str, ...]]]:
    """Return what an evaluated task's secrets and preconditions make of its run, and facts for the report."""
    dag = Dag.model_validate(task.options["prepare"]["dag"])
    unmet, why = _check(task, dag, supervisor, places.dag_folder(task))
    if not any(unmet):
        return Result("succeeded"), {}
    return Result("skipped", 0, why), {"unmet": tuple(unmet)}


def _check(task: Task, dag: Dag, supervisor: Supervisor, folder: Path) -> tuple[list[str], str]:
    """Return of each condition why it is not met, and why the run is not to go on."""
    if not dag.preconditions and not dag.secrets:
        return [], ""
    ground = lay_ground(task, folder)
    if not dag.preconditions:
        return [], ""
    environment = build_environment(task, ground, {}, None)
    cwd, shell = str(ground.directory()), condition_shell(None, dag.shell, environment.full)
    unmet, why = check_each(
        dag.preconditions,
        (environment.textual, environment.full),
        run_command_in(supervisor, environment.process, cwd),
        exit_code_in(supervisor, environment.process, cwd, shell),
    )
    masker = Masker(ground.hidden)
    return [masker.text(each) for each in unmet], masker.text(why)
