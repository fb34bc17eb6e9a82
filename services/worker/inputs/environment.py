"""Build the environment variables of a step's processes, and the scopes for expanding the step's fields.

Precedence in both, later wins: host (allow-list) < DAG env < dotenv < secrets < outputs < params < step env <
reserved. Full expansion also sees all other variables of the host, with the lowest precedence. Textual expansion sees
reserved, step env, params and outputs only: the shell reads the rest from its environment. Paths into JSON values
(``${X.path}``) are always expanded, since a shell cannot read them.
Dagway's own configuration never reaches a step: ``DAGWAY_*`` is removed from the host's variables first.
Source: docs/workflow-language.md#variables.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from services.worker.inputs.dotenv import read_dotenv
from services.worker.inputs.named_files import Reach
from services.worker.inputs.secret_values import SecretResolver
from services.worker.process.capture import CommandFailed
from shared.contracts.tasks import STEP, StepRef, Task
from shared.language.expansion.expand import ExpansionError, RunCommand, Scope, StepFacts, expand
from shared.language.expansion.references import names_in
from shared.language.expansion.scope import RunFilter
from shared.language.expansion.secret_params import secrets_in
from shared.tracing import here
from shared.workspaces import plain_name

__all__ = [
    "Environment",
    "Inputs",
    "build_environment",
    "dag_directory",
    "host_variables",
    "prepare_inputs",
    "with_dagu_names",
]

_log = logging.getLogger(__name__)

_PASSED = frozenset(
    {b"PATH", b"HOME", b"USER", b"SHELL", b"TMPDIR", b"TERM", b"EDITOR", b"VISUAL", b"LANG", b"LC_ALL", b"LC_CTYPE"}
    | {b"TZ", b"LD_LIBRARY_PATH", b"XDG_CONFIG_HOME", b"XDG_DATA_HOME", b"XDG_CACHE_HOME", b"DAGU_DEFAULT_SHELL"}
    | {b"DAGU_HOME", b"DAGU_DAGS_DIR", b"DAGU_HOST", b"DAGU_PORT", b"DAGU_BASE_PATH", b"DAGU_TZ"}
)
"""Of Dagu's own variables those that tell where it is. Others hold passwords."""
_PASSED_PREFIXES = (b"DAG_", b"LC_")
_OWN_PREFIX = "DAGWAY_"
MAX_EXPORT_BYTES = 100 * 1024
"""A longer value is used in expansions but not exported, since Linux refuses environment strings of 128 KiB."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment variables of an attempt's processes, and the scopes for textual and full expansion."""

    process: dict[str, str]
    textual: Scope
    full: Scope


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a step receives, except the parts that need a command of the user to be run."""

    working_dir: Path
    """The step's directory, which may not exist yet."""
    dag_dir: Path
    base: dict[str, str]
    """Inherited host variables, the DAG's env and dotenv, merged."""
    secrets: dict[str, str]
    hidden: tuple[str, ...] = ()
    """Values to mask: the secrets, and the secrets of the calling run that it passed in params."""


class _HostVariables(Mapping[str, str]):
    """A view of ``os.environ`` without ``DAGWAY_*``. Not a copy: an attempt looks up few variables only."""

    def __getitem__(self, name: str) -> str:
        if name.startswith(_OWN_PREFIX):
            raise KeyError(name)
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in os.environ if not name.startswith(_OWN_PREFIX))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def host_variables() -> Mapping[str, str]:
    """Return the host's variables that a DAG may use: all except Dagway's own (``DAGWAY_*``)."""
    return _HostVariables()


def with_dagu_names(reserved: Mapping[str, str]) -> dict[str, str]:
    """Return the reserved variables, and each ``DAG_X`` of them as ``DAGU_X`` too."""
    return {**reserved, **{f"DAGU_{name[4:]}": value for name, value in reserved.items() if name.startswith("DAG_")}}


def inherited() -> Mapping[str, str]:
    """Return the host's variables that are in the environment of every step (the allow-list)."""
    # Every step asks. To walk over the bytes of the names and to decode only what is passed takes a tenth of the time.
    names = [name for name in os.environb if name in _PASSED or name.startswith(_PASSED_PREFIXES)]
    return {os.fsdecode(name): os.fsdecode(os.environb[name]) for name in names}


def _inside(folder: Path, text: str, scope: Scope) -> Path:
    """Expand ``text`` to a normalized path, relative to ``folder``; return ``folder`` if the text is empty."""
    return Path(os.path.normpath(folder / Path(expand(text, scope)).expanduser())) if text else folder


def dag_directory(task: Task, folder: Path, scope: Scope, reach: Reach) -> Path:
    """Return the default directory of the DAG's steps. ``folder`` is the folder of the DAG's file.

    A sub-run whose DAG sets no ``workingDir`` runs in the directory of its caller, if this worker has that directory
    and steps may go there. Raises ``ExpansionError``.
    """
    if not task.working_dir and task.called_from and reach.may_enter(called_from := Path(task.called_from)):
        return called_from
    return _inside(folder, task.working_dir, scope)


def prepare_inputs(
    task: Task,
    folder: Path,
    *,
    resolver: SecretResolver,
    reach: Reach,
    home: str,
    passed: tuple[str, ...],
    all_secrets: bool = True,
) -> Inputs:
    """Find the step's directory, dotenv variables and secrets. ``folder`` is the folder of the DAG's file.

    ``passed`` are the secrets in the params, if these were sealed.
    ``reach`` limits which files the DAG may name. ``home`` is the step's home directory, if not the worker's.

    Raises:
        SecretMissing: a secret cannot be resolved on this worker. With ``all_secrets=False`` it is left out instead.
        ExpansionError: a variable that a directory requires (``${X:?}``) is not set.
        InvalidInput: see ``read_dotenv``.
    """
    host = host_variables()
    dag_env = dict(task.env)
    scope = Scope((dag_env, host))
    dag_dir = dag_directory(task, folder, scope, reach)
    paths = [expand(path, scope) for path in task.dotenv]
    known = {**inherited(), **({"HOME": home} if home else {}), **dag_env}
    dotenv = read_dotenv(paths, (dag_dir, folder), known, reach) if paths else {}
    base = {**known, **dotenv}
    secrets = {}
    if task.secrets:
        variables = {**host, **base}
        secrets = resolver.resolve(
            task.secrets,
            (dag_dir, folder),
            variables,
            sealed=dict(task.sealed_secrets),
            all_of_them=all_secrets,
            reach=reach,
        )
    working_dir = _inside(dag_dir, task.step.working_dir, Scope((dotenv, dag_env, host)))
    return Inputs(working_dir, dag_dir, base, secrets, (*secrets.values(), *passed, *_secrets_in_params(task)))


def _secrets_in_params(task: Task) -> Iterator[str]:
    params = dict(task.params)
    for name, shown in task.hidden_params:
        yield from secrets_in(params.get(name, shown), shown)


def build_environment(
    task: Task,
    inputs: Inputs,
    reserved: Mapping[str, str],
    run_command: RunCommand | None,
    run_filter: RunFilter | None = None,
    *,
    mask: Callable[[str], str] = str,
) -> Environment:
    """Return the environment of a step. ``reserved`` holds variables that Dagway sets, such as the paths of logs.

    A variable of the step's env that cannot be evaluated is logged and left out, as in Dagu. ``mask`` masks the secrets
    in what is logged.
    """
    refs = dict(task.refs)
    if task.kind == STEP and task.step.id and not (ref := refs.get(task.step.id, StepRef())).stdout:
        # Until its first attempt is reported, only the worker knows the step's own log files.
        logs = {name: reserved.get(f"DAG_RUN_STEP_{name.upper()}_FILE", "") for name in ("stdout", "stderr")}
        refs[task.step.id] = ref.model_copy(update=logs)
    steps = {
        # If both streams share one log, ``stderr`` means the same file as ``stdout``.
        name: StepFacts(ref.stdout, ref.stderr or ref.stdout, ref.exit_code or 0, ref.output)
        for name, ref in refs.items()
    }
    outputs, params = dict(task.outputs), dict(task.params)
    local = {"DAG_RUN_STEP_NAME": task.step.name, "PWD": str(inputs.working_dir), **dict(task.engine_env)}
    everything = {"DAG_NAME": plain_name(task.dag_name), "DAG_RUN_ID": task.dag_run_id, **reserved, **local}
    if task.params_json is not None:
        everything["DAG_PARAMS_JSON"] = task.params_json
    everything = with_dagu_names(everything)
    host = host_variables()
    below = (params, outputs, inputs.secrets, inputs.base)
    trusted = _trusted_names(task, inputs, local, everything)
    scope = Scope((everything, *below), steps, trusted=trusted, host=host, run_filter=run_filter)
    step_env = _step_env(task, scope, run_command, mask)
    trusted = _with_step_env(
        task, trusted, ({*everything, *params, *outputs, *inputs.secrets} - trusted) | steps.keys()
    )
    merged = {**inputs.base, **inputs.secrets, **outputs, **params, **step_env, **everything}
    return Environment(
        process=({"TRACEPARENT": str(attempt)} if (attempt := here()) is not None else {})
        | {name: value for name, value in merged.items() if _exportable(name, value)},
        textual=Scope(
            (local, step_env, params, outputs),
            steps,
            trusted=trusted,
            paths_only=(inputs.base,),
            run_filter=run_filter,
        ),
        full=Scope((everything, step_env, *below, host), steps, trusted=trusted, run_filter=run_filter),
    )


def _trusted_names(task: Task, inputs: Inputs, local: Mapping[str, str], reserved: Mapping[str, str]) -> frozenset[str]:
    """Return the names of variables whose values the DAG's author wrote: they may contain commands.

    Variables of the step's env are not included.
    """
    params = {name for name, _ in task.params}
    outside = (params if task.params_given else ()) if task.params_outside is None else task.params_outside
    trusted = params.difference(outside)
    # A variable of the DAG's env is trusted unless a param, output or secret overrides it.
    below = inputs.base.keys() - params - {name for name, _ in task.outputs} - inputs.secrets.keys()
    return frozenset((trusted | below) - reserved.keys() | local.keys())


def _with_step_env(task: Task, trusted: frozenset[str], others: AbstractSet[str]) -> frozenset[str]:
    """Add the trusted variables of the step's env: those without a back-quoted command or an untrusted variable."""
    found = set(trusted)
    for name, text in task.step.env:
        found.discard(name)
        if "`" not in text and names_in(text).isdisjoint(others):
            found.add(name)
    return frozenset(found)


def _step_env(task: Task, scope: Scope, run_command: RunCommand | None, mask: Callable[[str], str]) -> dict[str, str]:
    found = {}
    for name, text in task.step.env:
        try:
            found[name] = expand(text, scope, run_command)
        except (ExpansionError, CommandFailed) as error:
            _log.warning("step_env.dropped", extra={"variable": name, "error": mask(str(error))})
    return found


def _exportable(name: str, value: str) -> bool:
    if not name or "=" in name or "\0" in name or "\0" in value:
        return False
    return len(value) < MAX_EXPORT_BYTES // 4 or len(value.encode(errors="surrogateescape")) <= MAX_EXPORT_BYTES
