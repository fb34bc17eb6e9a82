"""The prepare attempt of a run: evaluate what only a worker can evaluate.

First the DAG's env and params: their back-quoted commands run here and see this host's variables, except Dagway's own
(``DAGWAY_*``), and the run's scheduled time. Then the DAG's preconditions: if one is not met, the outcome is
``skipped``. If the run already has values of env and params (a retry), it keeps them and only the preconditions are
checked again.
"""

from functools import partial

from services.worker.inputs.conditions import check_each
from services.worker.inputs.environment import (
    build_environment,
    dag_directory,
    host_variables,
    prepare_inputs,
    with_dagu_names,
)
from services.worker.inputs.param_schema import apply_schema
from services.worker.inputs.sealing import Seal
from services.worker.inputs.secret_values import SecretResolver
from services.worker.inputs.workspace import Workspace
from services.worker.output.masking import Masker
from services.worker.process.capture import Interrupted, exit_code_in, run_command_in
from services.worker.process.jq_filter import run_filter_in
from services.worker.process.outcome import Result
from services.worker.process.shells import condition_shell
from services.worker.process.supervisor import Supervisor
from services.worker.process.until_stopped import until_stopped
from shared.contracts.prepared import PreparedValues
from shared.contracts.tasks import PREPARE, Task
from shared.errors import InvalidInput
from shared.language.expansion.expand import Scope, expand
from shared.language.expansion.params_syntax import params_json, parse_params_text
from shared.language.expansion.resolve import resolve_env, resolve_params
from shared.language.model import Dag
from shared.language.parameters import inline_schema
from shared.outbound import OutboundPolicy

__all__ = ["check_preconditions", "evaluate_dag", "values_of"]


def evaluate_dag(task: Task, supervisor: Supervisor, workspace: Workspace, outbound: OutboundPolicy) -> Task:
    """Evaluate the DAG's env and params, and return the task with them. A task that has them is returned unchanged.

    ``outbound`` says from where a schema of the params may be fetched.
    """
    folder = workspace.dag_folder(task)
    workspace.make_folder(folder, task)
    if task.env or task.params:
        return task
    given = task.options[PREPARE]
    dag = Dag.model_validate(given["dag"])
    host = {**host_variables(), **with_dagu_names(dict(task.engine_env))}
    run, run_filter = run_command_in(supervisor, host, str(folder)), run_filter_in(supervisor)
    env = resolve_env(dag.env, host, run, run_filter)
    run = run_command_in(supervisor, {**host, **dict(env)}, str(folder))
    params, params_text = resolve_params(
        dag, given["given"], env=env, lookup=host, run_command=run, run_filter=run_filter
    )
    if dag.param_schema:
        scope = Scope((dict(env), host))
        reach = workspace.reach(task)
        folders = (dag_directory(task, folder, scope, reach), folder)
        # A schema in the spec has `$ref` and patterns with `$`, which are no variables.
        schema = dag.param_schema if inline_schema(dag.param_schema) else expand(dag.param_schema, scope)
        params = apply_schema(schema, params, folders, reach, outbound)
        found, was_json = parse_params_text(given["given"])
        if not (found and was_json):
            params_text = params_json(params)
    return task.model_copy(update={"env": env, "params": params, "params_json": params_text})


def values_of(task: Task, seal: Seal, *, whole: bool) -> dict[str, str]:
    """Return the values of an evaluated task as the outputs of its report.

    Params that contain a secret are sealed. With ``whole``, all are, and so are the names that the DAG does not
    declare.
    """
    if whole:
        declared = {param.name for param in Dag.model_validate(task.options[PREPARE]["dag"]).params}
        params = tuple((name if name in declared else seal.all(name), seal.all(value)) for name, value in task.params)
    else:
        params = tuple((name, seal(value)) for name, value in task.params)
    text = task.params_json
    if text is not None:
        # Not only if the masker finds a secret: a value that is JSON itself is escaped twice here.
        text = seal.all(text) if params != task.params else seal(text)
    return PreparedValues(task.env, params, text).to_outputs()


def check_preconditions(
    task: Task, supervisor: Supervisor, workspace: Workspace, resolver: SecretResolver, passed: tuple[str, ...]
) -> tuple[Result, dict[str, tuple[str, ...]]]:
    """Check that the secrets can be resolved and the preconditions are met. ``passed`` is masked as well.

    Returns the result and further fields of ``AttemptFinished``.
    """
    dag = Dag.model_validate(task.options[PREPARE]["dag"])
    unmet, why = _check(task, dag, supervisor, workspace, resolver=resolver, passed=passed)
    if not any(unmet):
        return Result("succeeded"), {}
    return Result("skipped", 0, why), {"unmet": tuple(unmet)}


def _check(
    task: Task,
    dag: Dag,
    supervisor: Supervisor,
    workspace: Workspace,
    *,
    resolver: SecretResolver,
    passed: tuple[str, ...],
) -> tuple[list[str], str]:
    """Return one text for each condition (empty if it is met), and the reason to skip the run (empty if none)."""
    if not dag.preconditions and not dag.secrets:
        return [], ""
    folder, reach, home = workspace.dag_folder(task), workspace.reach(task), workspace.home(task)
    find = partial(prepare_inputs, task, folder, resolver=resolver, passed=passed, reach=reach, home=home)
    # A provider of secrets may not answer.
    inputs = until_stopped(supervisor.stop, find) if task.secrets else find()
    if not dag.preconditions:
        return [], ""
    masker = Masker(inputs.hidden)
    try:
        environment = build_environment(task, inputs, {}, None, run_filter_in(supervisor))
        cwd, shell = str(workspace.directory(task, inputs)), condition_shell(None, dag.shell, environment.full)
        unmet, why = check_each(
            dag.preconditions,
            (environment.textual, environment.full),
            run_command_in(supervisor, environment.process, cwd),
            exit_code_in(supervisor, environment.process, cwd, shell),
        )
    except Interrupted:
        raise
    except Exception as error:
        if not masker:
            raise
        # What failed can have printed a secret. The cause is left out: it would be logged.
        raise InvalidInput(masker.text(str(error) or type(error).__name__)) from None
    return [masker.text(each) for each in unmet], masker.text(why)
