"""Build what a step sees: its process environment and the scopes its fields are expanded in.

One order for both, later wins: host (allow-list) < dag env < dotenv < secrets < outputs < params <
step env < reserved. Fields expanded fully see the host's other variables too, below all. Fields expanded
textually see reserved, step env, params and outputs only; the rest is left for the shell to read from
its environment, but for paths into JSON, which no shell knows. Nothing of the service's own configuration
reaches a step: ``DAGWAY_*`` is dropped before anything else looks at the host's variables.
Source: the workflow language reference, sections on precedence and special variables.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from services.worker.inputs.dotenv import read_dotenv
from services.worker.inputs.secret_values import resolve_secrets
from shared.contracts.tasks import Task
from shared.language.expansion.expand import ExpansionError, RunCommand, Scope, StepFacts, expand
from shared.language.expansion.references import names_in
from shared.language.expansion.secret_params import secrets_in
from shared.tracing import here

__all__ = ["Environment", "Ground", "build_environment", "host_variables", "lay_ground"]

_log = logging.getLogger(__name__)

_PASSED = frozenset(
    {"PATH", "HOME", "USER", "SHELL", "TMPDIR", "TERM", "EDITOR", "VISUAL", "LANG", "LC_ALL", "LC_CTYPE", "TZ"}
    | {"LD_LIBRARY_PATH", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "DAGU_DEFAULT_SHELL"}
)
_PASSED_PREFIXES = ("DAG_", "LC_")
_HIDDEN = "DAGWAY_"
_DIR_MODE = 0o755
MAX_EXPORT_BYTES = 100 * 1024
"""A longer value is kept for expansion but not exported: Linux refuses single strings of 128 KiB."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment of an attempt's processes, and its scopes for textual and full expansion."""

    process: dict[str, str]
    textual: Scope
    full: Scope


@dataclass(frozen=True, slots=True)
class Ground:
    """What can be gathered without running anything: before the attempt is reported as started."""

    working_dir: Path
    """The step's own."""
    dag_dir: Path
    base: dict[str, str]
    """Host, dag env and dotenv."""
    secrets: dict[str, str]
    hidden: tuple[str, ...] = ()
    """What logs must not show: the secrets, and those that the calling run handed over."""

    def directory(self) -> Path:
        """Return where the worker runs small commands: the step's directory, or the dag's while that is not there.

        The dag's is made, since every step may count on it. Raises ``OSError``.
        """
        if self.working_dir.is_dir():
            return self.working_dir
        self.dag_dir.mkdir(_DIR_MODE, parents=True, exist_ok=True)
        return self.dag_dir


class _HostVariables(Mapping[str, str]):
    """A view: most attempts look at few of them, and copying them all costs each more than that."""

    def __getitem__(self, name: str) -> str:
        if name.startswith(_HIDDEN):
            raise KeyError(name)
        return os.environ[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in os.environ if not name.startswith(_HIDDEN))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def host_variables() -> Mapping[str, str]:
    """Return this host's variables as a dag may see them: all but the service's own."""
    return _HostVariables()


def inherited() -> Mapping[str, str]:
    """Return the part of the host's variables that a step inherits unasked."""
    return {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}


def _inside(folder: Path, text: str, scope: Scope) -> Path:
    """Return the directory ``text`` means, relative to ``folder`` and without dots; empty: the same."""
    return Path(os.path.normpath(folder / Path(expand(text, scope)).expanduser())) if text else folder


def dag_directory(task: Task, folder: Path, scope: Scope) -> Path:
    """Return where the dag's steps work; ``folder`` is that of its file.

    A directory the run was called from counts where this worker has it. Raises ``ExpansionError``.
    """
    if not task.working_dir and task.called_from and (called_from := Path(task.called_from)).is_dir():
        return called_from
    return _inside(folder, task.working_dir, scope)


def lay_ground(task: Task, folder: Path, *, all_secrets: bool = True) -> Ground:
    """Find the directory, the dotenv variables and the secrets; ``folder`` is the dag's.

    Raises:
        SecretMissing: a secret cannot be had here, and ``all_secrets`` must be.
        ExpansionError: a directory's ``${X:?}``.
    """
    host = host_variables()
    dag_env = dict(task.env)
    scope = Scope((dag_env, host))
    dag_dir = dag_directory(task, folder, scope)
    paths = [expand(path, scope) for path in task.dotenv]
    known = {**inherited(), **dag_env}
    dotenv = read_dotenv(paths, (dag_dir, folder), known) if paths else {}
    base = {**known, **dotenv}
    secrets = {}
    if task.secrets:
        secrets = resolve_secrets(task.secrets, (dag_dir, folder), {**host, **base}, all_of_them=all_secrets)
    working_dir = _inside(dag_dir, task.step.working_dir, Scope((dotenv, dag_env, host)))
    return Ground(working_dir, dag_dir, base, secrets, (*secrets.values(), *_handed_over(task)))


def _handed_over(task: Task) -> Iterator[str]:
    params = dict(task.params)
    for name, shown in task.hidden_params:
        yield from secrets_in(params.get(name, shown), shown)


def build_environment(
    task: Task, ground: Ground, reserved: Mapping[str, str], run_command: RunCommand | None
) -> Environment:
    """Put everything together; ``reserved`` holds log paths and the like.

    A step env entry that cannot be evaluated is logged and left out, as the language demands.
    """
    steps = {
        # Where both streams share one log, either name means it.
        name: StepFacts(ref.stdout, ref.stderr or ref.stdout, ref.exit_code or 0, ref.output)
        for name, ref in task.refs.items()
    }
    outputs, params = dict(task.outputs), dict(task.params)
    local = {"DAG_RUN_STEP_NAME": task.step.name, "PWD": str(ground.working_dir), **dict(task.engine_env)}
    everything = {"DAG_NAME": task.dag_name, "DAG_RUN_ID": task.dag_run_id, **reserved, **local}
    if task.params_json is not None:
        everything["DAG_PARAMS_JSON"] = task.params_json
    everything |= {f"DAGU_{name[4:]}": value for name, value in everything.items() if name.startswith("DAG_")}
    below = (params, outputs, ground.secrets, ground.base, host_variables())
    own = _own_words(task, ground, local, everything)
    step_env = _step_env(task, Scope((everything, *below), steps, trusted=own), run_command)
    own = _with_step_env(task, own, ({*everything, *params, *outputs, *ground.secrets} - own) | steps.keys())
    merged = {**ground.base, **ground.secrets, **outputs, **params, **step_env, **everything}
    return Environment(
        process=({"TRACEPARENT": str(attempt)} if (attempt := here()) is not None else {})
        | {name: value for name, value in merged.items() if _exportable(name, value)},
        textual=Scope((local, step_env, params, outputs), steps, trusted=own, paths_only=(ground.base,)),
        full=Scope((everything, step_env, *below), steps, trusted=own),
    )


def _own_words(task: Task, ground: Ground, local: Mapping[str, str], reserved: Mapping[str, str]) -> frozenset[str]:
    """Return the variables, step env aside, whose values are the author's own words, commands and all."""
    params = {name for name, _ in task.params}
    outside = (params if task.params_given else ()) if task.params_outside is None else task.params_outside
    own = params.difference(outside)
    # What the dag's env says counts where nothing from elsewhere has the same name.
    below = ground.base.keys() - params - {name for name, _ in task.outputs} - ground.secrets.keys()
    return frozenset((own | below) - reserved.keys() | local.keys())


def _with_step_env(task: Task, own: frozenset[str], others: AbstractSet[str]) -> frozenset[str]:
    """Add the variables of the step's own env, but for those made of others' words, or by a command."""
    found = set(own)
    for name, text in task.step.env:
        found.discard(name)
        if "`" not in text and names_in(text).isdisjoint(others):
            found.add(name)
    return frozenset(found)


def _step_env(task: Task, scope: Scope, run_command: RunCommand | None) -> dict[str, str]:
    found = {}
    for name, text in task.step.env:
        try:
            found[name] = expand(text, scope, run_command)
        except (ExpansionError, CommandFailed) as error:
            _log.warning("step_env.dropped", extra={"variable": name, "error": str(error)})
    return found


class CommandFailed(ValueError):
    """A back-quoted command ended with another code than 0."""


def _exportable(name: str, value: str) -> bool:
    if not name or "=" in name or "\0" in name or "\0" in value:
        return False
    return len(value) < MAX_EXPORT_BYTES // 4 or len(value.encode(errors="surrogateescape")) <= MAX_EXPORT_BYTES
