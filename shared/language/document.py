"""Read the map of one YAML document into a ``Dag``."""

import re
from collections.abc import Callable, Mapping
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
from shared.language.model import Dag, DagType, OnWorkerShutdown, Placement, RunConfig
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
from shared.language.yaml.fields import Fields, Vocabulary
from shared.language.yaml.reader import YamlMap

__all__ = ["DAG_KEYS", "read_dag"]

DAG_KEYS = Vocabulary(
    "name", "description", "group", "tags", "type", "schedule", "skipIfSuccessful", "env", "dotenv", "params",
    "secrets", "preconditions", "precondition", "steps", "handlerOn", "maxActiveRuns", "maxActiveSteps", "queue",
    "timeoutSec", "delaySec", "restartWaitSec", "maxCleanUpTimeSec", "histRetentionDays", "maxOutputSize", "logDir",
    "logOutput", "workingDir", "shell", "container", "registryAuths", "ssh", "llm", "smtp", "mailOn", "errorMail",
    "infoMail", "waitMail", "otel", "workerSelector", "runConfig", "placement", "catchup", "onWorkerShutdown",
)  # fmt: skip
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
    for key in ("description", "group", "queue"):
        if key in fields:
            values[key] = fields.text(key)
    for key, attribute in (("logDir", "log_dir"), ("workingDir", "working_dir")):
        if key in fields:
            values[attribute] = fields.text(key)
    if needs_shell(values.get("log_dir", "")):
        fields.warn("logDir", "logDir is ignored: it contains a command in back quotes, which may not run there")
    if "tags" in fields:
        tags = (tag.strip().lower() for tag in fields.texts("tags", split=",", pairs=True))
        values["tags"] = tuple(tag for tag in tags if tag)
    dag_type = _type(fields)
    if "type" in fields:
        values["type"] = dag_type
    _read_inputs(fields, values)
    _read_limits(fields, values)
    _read_services(fields, values)
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


def _read_inputs(fields: Fields, values: dict[str, Any]) -> None:
    """Read what a run starts from: schedule, variables, parameters, conditions."""
    _read_each(fields, values, _INPUTS)
    if "skipIfSuccessful" in fields:
        values["skip_if_successful"] = fields.boolean("skipIfSuccessful")
    if "params" in fields:
        values["params"], values["param_schema"] = read_params(fields)
    if "preconditions" in fields or "precondition" in fields:
        values["preconditions"] = read_preconditions(fields)
    if "workerSelector" in fields:
        values["worker_selector"] = read_worker_selector(fields)
    if "placement" in fields:
        values["placement"] = fields.choice("placement", get_args(Placement)) or "stick"
    if "onWorkerShutdown" in fields:
        values["on_worker_shutdown"] = fields.choice("onWorkerShutdown", get_args(OnWorkerShutdown)) or "fail"


def _read_run_config(fields: Fields) -> RunConfig:
    """Read ``runConfig``: what a person may not change when starting a run."""
    inner = fields.mapping("runConfig", _RUN_CONFIG)
    if inner is None:
        return RunConfig()
    return RunConfig(
        disable_param_edit=inner.boolean("disableParamEdit"),
        disable_run_id_edit=inner.boolean("disableRunIdEdit"),
    )


def _read_limits(fields: Fields, values: dict[str, Any]) -> None:
    """Read limits and times. For some fields 0 means the default, as in Dagu."""
    for key, attribute, default in (
        ("maxActiveRuns", "max_active_runs", 1),
        ("histRetentionDays", "hist_retention_days", 30),
        ("maxOutputSize", "max_output_size", 1_048_576),
    ):
        if key in fields:
            values[attribute] = fields.integer(key, default) or default
    if values.get("max_output_size", 1) < 0:
        values["max_output_size"] = 1_048_576
    if "maxActiveSteps" in fields:
        values["max_active_steps"] = max(fields.integer("maxActiveSteps"), 0)
    for key, attribute in (
        ("timeoutSec", "timeout_sec"),
        ("delaySec", "delay_sec"),
        ("restartWaitSec", "restart_wait_sec"),
    ):
        if key in fields:
            values[attribute] = max(fields.seconds(key), 0)
    if "maxCleanUpTimeSec" in fields:
        values["max_clean_up_time_sec"] = max(fields.seconds("maxCleanUpTimeSec", 5), 0) or 5


def _read_services(fields: Fields, values: dict[str, Any]) -> None:
    """Read how steps run, the services that they use, and the mail settings."""
    _read_each(fields, values, _SERVICES)
    for key, attribute in (("errorMail", "error_mail"), ("infoMail", "info_mail"), ("waitMail", "wait_mail")):
        if key in fields:
            values[attribute] = read_mail(fields, key)


_Readers = Mapping[str, tuple[str, Callable[[Fields], Any]]]
_INPUTS: _Readers = {
    "schedule": ("schedule", read_schedule),
    "catchup": ("catchup", read_catchup),
    "env": ("env", read_env),
    "dotenv": ("dotenv", read_dotenv),
    "secrets": ("secrets", read_secrets),
    "runConfig": ("run_config", _read_run_config),
}
_SERVICES: _Readers = {
    "logOutput": ("log_output", read_log_output),
    "shell": ("shell", read_shell),
    "container": ("container", read_container),
    "registryAuths": ("registry_auths", read_registry_auths),
    "ssh": ("ssh", read_ssh),
    "llm": ("llm", read_llm),
    "smtp": ("smtp", read_smtp),
    "mailOn": ("mail_on", read_mail_on),
    "otel": ("otel", read_otel),
}
"""For each key of the YAML: the attribute of ``Dag``, and the function that reads the field."""


def _read_each(fields: Fields, values: dict[str, Any], readers: _Readers) -> None:
    """Read those fields of ``readers`` that the document has."""
    for key, (attribute, read) in readers.items():
        if key in fields:
            values[attribute] = read(fields)
