"""The JSON of DAGs and steps, made from the language model (as in Dagu's REST API v2).

An optional field is absent if it is empty, zero or false; a required field is always present, and so is ``args``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from services.api.representations.json_values import sparse
from shared.language.expansion.params_syntax import default_params_text
from shared.language.model import Condition, Dag, Handler, RepeatPolicy, Step
from shared.language.steps.command_line import words_as_written

__all__ = ["conditions", "dag", "dag_details", "dag_written", "run_config", "step"]

_HANDLER_FIELDS: Mapping[Handler, str] = {
    Handler.FAILURE: "failure",
    Handler.SUCCESS: "success",
    Handler.ABORT: "cancel",
    Handler.EXIT: "exit",
}
"""The handlers that the API has, with their field names. Those of a run's details are more."""
_OTHER_UNMET = "other condition was not met"


def dag(model: Dag) -> dict[str, Any]:
    """Return the short JSON of a DAG, for lists."""
    return {
        "name": model.name,
        **sparse(
            group=model.group,
            description=model.description,
            params=_params(model),
            defaultParams=default_params_text(model),
            tags=list(model.tags),
            schedule=_schedule(model),
            queue=model.queue,
            maxActiveRuns=model.max_active_runs,
        ),
        "runConfig": run_config(model),
    }


def dag_details(model: Dag) -> dict[str, Any]:
    """Return the long JSON of a DAG, with its steps and handlers."""
    handlers = {
        name: step(model.handlers[handler]) for handler, name in _HANDLER_FIELDS.items() if handler in model.handlers
    }
    return {
        **dag(model),
        **sparse(
            delay=int(model.delay_sec),
            env=[f"{key}={value}" for key, value in model.env],
            handlerOn=handlers,
            histRetentionDays=model.hist_retention_days,
            logDir=model.log_dir,
            maxActiveSteps=model.max_active_steps,
            preconditions=conditions(model.preconditions),
        ),
        "steps": [step(each) for each in model.steps],
    }


def dag_written(model: Dag) -> dict[str, Any]:
    """Return the detailed JSON of a DAG, with ``histRetentionDays`` only if its spec sets it."""
    found = dag_details(model)
    if "hist_retention_days" not in model.model_fields_set:
        found.pop("histRetentionDays", None)
    return found


def step(model: Step) -> dict[str, Any]:
    """Return the JSON of a step."""
    config = dict(model.config)
    return {
        "name": model.name,
        **sparse(
            id=model.id,
            description=model.description,
            dir=model.working_dir,
            commands=[_command(each.text) for each in model.commands],
            script=model.script,
            stdout=model.stdout,
            stderr=model.stderr,
            output=model.output.name if model.output else "",
            call=model.call,
            params=model.params,
            parallel=_parallel(model),
            depends=list(model.depends),
            repeatPolicy=_repeat(model.repeat_policy) if model.repeat_policy else {},
            mailOnError=model.mail_on_error,
            preconditions=conditions(model.preconditions),
            timeoutSec=int(model.timeout_sec),
        ),
        "executorConfig": {"type": model.type, "config": config} if model.type else {"config": config},
    }


def conditions(models: Sequence[Condition], unmet: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return the JSON of preconditions.

    ``unmet`` has one text per condition: why it was not met, or empty if it was met although others were not.
    """
    if not unmet or len(unmet) != len(models):
        return [condition(each) for each in models]
    return [condition(each, why or _OTHER_UNMET) for each, why in zip(models, unmet, strict=True)]


def condition(model: Condition, error: str = "") -> dict[str, Any]:
    """Return the JSON of a condition; ``error`` says why it was not met."""
    return {"condition": model.condition, **sparse(expected=model.expected, negate=model.negate, error=error)}


def run_config(model: Dag) -> dict[str, Any]:
    """Return which fields the dialog that starts a run must disable."""
    return {
        "disableParamEdit": model.run_config.disable_param_edit,
        "disableRunIdEdit": model.run_config.disable_run_id_edit,
    }


def _params(model: Dag) -> list[str]:
    return [f"{param.name}={param.value}" for param in model.params]


def _schedule(model: Dag) -> list[dict[str, Any]]:
    return [{"expression": expression} for expression in model.schedule.start]


def _command(text: str) -> dict[str, Any]:
    first, *rest = words_as_written(text) or (text,)
    return {"command": first, "args": rest}


def _parallel(model: Step) -> dict[str, Any]:
    if model.parallel is None:
        return {}
    items: Any = model.parallel.variable or list(model.parallel.items)
    return {"items": items, "maxConcurrent": model.parallel.max_concurrent}


def _repeat(model: RepeatPolicy) -> dict[str, Any]:
    return {
        "repeat": model.repeat.value,
        **sparse(
            interval=int(model.interval_sec),
            limit=model.limit,
            exitCode=list(model.exit_code),
            condition=condition(model.condition) if model.condition else {},
            backoff=model.backoff,
            maxIntervalSec=int(model.max_interval_sec),
        ),
    }
