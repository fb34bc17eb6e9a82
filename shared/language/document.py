"""Read the map of one YAML document into a ``Dag``."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

from shared.ids import MAX_DAG_NAME
from shared.language.connections import (
    read_mail,
    read_mail_on,
    read_otel,
    read_secrets,
    read_smtp,
    read_ssh,
)
from shared.language.environment import read_dotenv, read_env
from shared.language.expansion.expand import needs_shell
from shared.language.issues import Issues, PlaceInBase
from shared.language.model import Dag, DagType, MailSettings, OnWorkerShutdown, Placement, RunConfig
from shared.language.parameters import read_params
from shared.language.schedule import read_catchup, read_schedule
from shared.language.steps.approval import APPROVAL
from shared.language.steps.chat import read_llm
from shared.language.steps.conditions import read_preconditions
from shared.language.steps.containers import read_container, read_registry_auths
from shared.language.steps.handlers import read_handlers
from shared.language.steps.step import DagDefaults, read_log_output, read_shell
from shared.language.steps.step_list import read_steps
from shared.language.steps.worker_selector import read_worker_selector
from shared.language.yaml.fields import Fields, Readers, Vocabulary, read_each
from shared.language.yaml.reader import YamlMap

__all__ = ["DAG_KEYS", "read_dag"]

DAG_KEYS = Vocabulary(
    "name", "description", "group", "tags", "type", "schedule", "skipIfSuccessful", "env", "dotenv", "params",
    "secrets", "preconditions", "precondition", "steps", "handlerOn", "maxActiveRuns", "maxActiveSteps", "queue",
    "timeoutSec", "delaySec", "restartWaitSec", "maxCleanUpTimeSec", "histRetentionDays", "maxOutputSize", "logDir",
    "logOutput", "workingDir", "shell", "container", "registryAuths", "ssh", "llm", "smtp", "mailOn", "errorMail",
    "infoMail", "waitMail", "otel", "workerSelector", "runConfig", "placement", "catchup", "onWorkerShutdown",
)  # fmt: skip
_OUTPUT_SIZE = 1_048_576
_RUN_CONFIG = Vocabulary("disableParamEdit", "disableRunIdEdit")
_NAME = re.compile(r"[a-zA-Z0-9_.-]+\Z")
_MISFIT = re.compile(r"[^a-zA-Z0-9_.-]+")


def read_dag(issues: Issues, raw: YamlMap, *, forced_name: str, fallback_name: str, base: YamlMap | None = None) -> Dag:
    """Return the dag of a document. If the document has errors, return the part that could be read.

    The name is ``forced_name``, else the document's ``name``, else ``fallback_name``. Only fields of the document are
    set on the model, so ``model_fields_set`` distinguishes them from defaults. ``base``: the base configuration that is
    merged into ``raw``.
    """
    fields = Fields(issues, raw, "", DAG_KEYS)
    name = forced_name or fields.text("name") or fallback_name
    _check_name(fields, name)
    values: dict[str, Any] = {"name": name}
    read_each(fields, _READERS, values)
    if needs_shell(values.get("log_dir", "")):
        fields.warn("logDir", "logDir is ignored: it contains a command in back quotes, which may not run there")
    dag_type = _type(fields)
    if "type" in fields:
        values["type"] = dag_type
    if "params" in fields:
        values["params"], values["param_schema"] = read_params(fields)
    if "preconditions" in fields or "precondition" in fields:
        values["preconditions"] = read_preconditions(fields)
    container, ssh = (
        values.get(key) is not None and not isinstance(fields.place(key), PlaceInBase) for key in ("container", "ssh")
    )
    defaults = DagDefaults(
        container=container,
        ssh=ssh,
        llm=values.get("llm"),
        params=frozenset(param.name for param in values.get("params", ())),
        secrets=tuple(secret.name for secret in values.get("secrets", ())),
    )
    if "handlerOn" in fields:
        values["handlers"] = read_handlers(fields, defaults, _of_base(base, defaults))
    if "steps" in fields:
        values["steps"] = read_steps(fields, dag_type, defaults)
    if values.get("worker_selector") and any(step.type == APPROVAL for step in values.get("steps", ())):
        fields.error("workerSelector", "DAG with HITL steps cannot be dispatched to workers")
    if values.get("placement") == "spread" and "image" in _mapping(values.get("container")):
        message = "'spread' cannot be used with a DAG-level container, because the container runs on one worker"
        fields.error("placement", message)
    return Dag(**{key: value for key, value in values.items() if value is not None})


def _of_base(base: YamlMap | None, defaults: DagDefaults) -> DagDefaults:
    """Return the defaults of the handlers in ``base``: they run where ``base`` says, not where the document does."""
    given = {key.lower() for key, value in (base or {}).items() if value is not None}
    return replace(defaults, container="container" in given, ssh="ssh" in given)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _check_name(fields: Fields, name: str) -> None:
    if len(name.encode("utf-8", "replace")) > MAX_DAG_NAME:
        fields.error("name", f"name must be less than {MAX_DAG_NAME} characters (value: {name[:60]})")
    elif name and not _NAME.match(name):
        message = f"name must only contain alphanumeric characters, dashes, dots, and underscores (value: {name})"
        fields.error("name", message, hint=f'for instance "{_MISFIT.sub("-", name.strip()) or "my-dag"}"')


def _type(fields: Fields) -> DagType:
    word = fields.text("type") or DagType.CHAIN.value
    if word == "agent":
        fields.error("type", "type 'agent' is reserved and not yet supported")
    elif word not in ("chain", "graph"):
        fields.error("type", f"invalid type: {word} (must be one of: graph, chain)")
    return DagType.GRAPH if word == "graph" else DagType.CHAIN


def _tags(fields: Fields) -> tuple[str, ...]:
    tags = (tag.strip().lower() for tag in fields.texts("tags", split=",", pairs=True))
    return tuple(tag for tag in tags if tag)


def _read_run_config(fields: Fields) -> RunConfig:
    """Read ``runConfig``: what a person may not change when starting a run."""
    inner = fields.mapping("runConfig", _RUN_CONFIG)
    if inner is None:
        return RunConfig()
    return RunConfig(
        disable_param_edit=inner.boolean("disableParamEdit"),
        disable_run_id_edit=inner.boolean("disableRunIdEdit"),
    )


def _text(key: str) -> Callable[[Fields], str]:
    return lambda fields: fields.text(key)


def _limit(key: str, default: int) -> Callable[[Fields], int]:
    """Return the reader of a limit for which 0 means the default, as in Dagu."""
    return lambda fields: fields.integer(key, default) or default


def _span(key: str) -> Callable[[Fields], float]:
    return lambda fields: max(fields.seconds(key), 0)


def _mail(key: str) -> Callable[[Fields], MailSettings | None]:
    return lambda fields: read_mail(fields, key)


def _max_output_size(fields: Fields) -> int:
    size = fields.integer("maxOutputSize")
    return size if size > 0 else _OUTPUT_SIZE


_READERS: Readers = {
    "description": ("description", _text("description")),
    "group": ("group", _text("group")),
    "tags": ("tags", _tags),
    # What a run starts from.
    "schedule": ("schedule", read_schedule),
    "skipIfSuccessful": ("skip_if_successful", lambda fields: fields.boolean("skipIfSuccessful")),
    "catchup": ("catchup", read_catchup),
    "env": ("env", read_env),
    "dotenv": ("dotenv", read_dotenv),
    "secrets": ("secrets", read_secrets),
    "runConfig": ("run_config", _read_run_config),
    # Where it runs, and within which limits.
    "queue": ("queue", _text("queue")),
    "workerSelector": ("worker_selector", read_worker_selector),
    "placement": ("placement", lambda fields: fields.choice("placement", get_args(Placement)) or "stick"),
    "onWorkerShutdown": (
        "on_worker_shutdown",
        lambda fields: fields.choice("onWorkerShutdown", get_args(OnWorkerShutdown)) or "fail",
    ),
    "maxActiveRuns": ("max_active_runs", _limit("maxActiveRuns", 1)),
    "maxActiveSteps": ("max_active_steps", lambda fields: max(fields.integer("maxActiveSteps"), 0)),
    "histRetentionDays": ("hist_retention_days", _limit("histRetentionDays", 30)),
    "maxOutputSize": ("max_output_size", _max_output_size),
    "timeoutSec": ("timeout_sec", _span("timeoutSec")),
    "delaySec": ("delay_sec", _span("delaySec")),
    "restartWaitSec": ("restart_wait_sec", _span("restartWaitSec")),
    "maxCleanUpTimeSec": ("max_clean_up_time_sec", lambda fields: max(fields.seconds("maxCleanUpTimeSec", 5), 0) or 5),
    # How its steps run, and what they use.
    "logDir": ("log_dir", _text("logDir")),
    "logOutput": ("log_output", read_log_output),
    "workingDir": ("working_dir", _text("workingDir")),
    "shell": ("shell", read_shell),
    "container": ("container", read_container),
    "registryAuths": ("registry_auths", read_registry_auths),
    "ssh": ("ssh", read_ssh),
    "llm": ("llm", read_llm),
    "smtp": ("smtp", read_smtp),
    "mailOn": ("mail_on", read_mail_on),
    "errorMail": ("error_mail", _mail("errorMail")),
    "infoMail": ("info_mail", _mail("infoMail")),
    "waitMail": ("wait_mail", _mail("waitMail")),
    "otel": ("otel", read_otel),
}
