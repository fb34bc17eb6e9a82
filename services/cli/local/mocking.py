"""Rewrites a workflow for a test case: the order and the rules stay, the commands do not.

What could have an effect outside is taken away: commands, containers, mails, secrets, and conditions that are commands.
"""

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from services.cli.local.cases import Case, Mock
from shared.language.issues import Issues
from shared.language.load import merged_documents
from shared.language.model import Dag, Handler
from shared.language.yaml.reader import NumericText

__all__ = ["mocked_spec"]

_KEPT = frozenset(
    each.lower()
    for each in (
        "name", "id", "description", "depends", "continueOn", "retryPolicy", "repeatPolicy", "output", "env",
        "timeoutSec", "preconditions", "precondition", "logOutput",
    )
)  # fmt: skip
"""The fields of a step that stay if its command does not run."""
_TAKEN_FROM_DAG = frozenset(
    each.lower()
    for each in (
        "mailOn", "smtp", "errorMail", "infoMail", "waitMail", "container", "ssh", "otel", "secrets", "dotenv",
        "registryAuths", "delaySec", "schedule", "logDir", "llm", "workerSelector",
    )
)  # fmt: skip
_HANDLERS = {str(handler.value)[2:].lower(): str(handler.value) for handler in Handler} | {"abort": Handler.ABORT.value}
"""The names of handlers in a run, by those in a spec."""
_WAITS = frozenset({"intervalsec", "backoff", "maxintervalsec"})
"""How long policies wait: a test does not."""

_MOCK = """n=$(( $(cat "$1/count" 2>/dev/null || echo 0) + 1 )); echo "$n" > "$1/count"
[ -e "$1/exit.$n" ] || n=$(cat "$1/last")
cat "$1/stdout.$n"; cat "$1/stderr.$n" >&2; exit "$(cat "$1/exit.$n")"
"""
"""A shell program that does what the files in the folder ``$1`` say for this attempt."""


def mocked_spec(text: str, dag: Dag, case: Case, folder: Path, *, base: str = "") -> str:
    """Return the spec of ``dag``, the first of ``text``, for a case. Writes what mocks print to files in ``folder``.

    It contains what the base configuration adds: that is mocked as the rest is.

    Raises:
        ValueError: the case names a step that the DAG does not have.
    """
    names = [step.name for step in dag.steps]
    known = {*names, *map(str, dag.handlers)}
    for name in (*case.mocks, *case.run, *case.steps, *case.retries, *case.stdout):
        if name not in known:
            raise ValueError(f"there is no step {name!r}; the steps: {', '.join([*names, *map(str, dag.handlers)])}")
    documents = [document.value for document in merged_documents(text, Issues(), base=base)]
    script = folder / "mock.sh"
    script.write_text(_MOCK)
    first = dict(documents[0])
    for key in list(first):
        lower = key.lower()
        if lower in _TAKEN_FROM_DAG or (lower == "workingdir" and not case.run):
            del first[key]
        elif lower == "steps":
            numbered = iter(names)
            first[key] = _steps(first[key], numbered, case, folder, script)
        elif lower == "handleron":
            first[key] = {
                name: _step(handler, _HANDLERS.get(name, name), case, folder, script, named=False)
                for name, handler in (first[key] or {}).items()
            }
        elif lower in ("preconditions", "precondition"):
            first[key] = _conditions(first[key], met=case.met.get("", None))
    env = {**{secret.name: "mocked" for secret in dag.secrets}, **case.env}
    given = next((key for key in first if key.lower() == "env"), "env")
    first[given] = [*_pairs(first.get(given)), *({name: value} for name, value in env.items())]
    rest = documents[1:] if case.run else []  # nothing calls them otherwise
    return "\n---\n".join(map(_flow, [first, *rest]))


def _pairs(env: Any) -> Iterator[Any]:
    if isinstance(env, dict):
        yield from ({name: value} for name, value in env.items())
    elif env:
        yield from env


def _steps(raw: Any, names: Iterator[str], case: Case, folder: Path, script: Path) -> Any:
    if isinstance(raw, dict):
        return {name: _step(step, next(names), case, folder, script, named=False) for name, step in raw.items()}
    return [
        _steps(each, names, case, folder, script)
        if isinstance(each, list)
        else _step(each, next(names), case, folder, script)
        for each in raw or []
    ]


def _step(raw: Any, name: str, case: Case, folder: Path, script: Path, *, named: bool = True) -> dict[str, Any]:
    given = dict(raw) if isinstance(raw, dict) else {"command": raw}
    runs = name in case.run
    step = {key: value for key, value in given.items() if runs or key.lower() in _KEPT}
    for key in list(step):
        lower = key.lower()
        if lower in ("retrypolicy", "repeatpolicy") and isinstance(step[key], dict):
            policy = {each: value for each, value in step[key].items() if each.lower() not in _WAITS}
            step[key] = {**policy, "intervalSec": 0}
        elif lower in ("preconditions", "precondition") and (not runs or name in case.met):
            step[key] = _conditions(step[key], met=case.met.get(name))
    if named and not any(key.lower() == "name" for key in step):
        step["name"] = name
    if not runs:
        place = folder / f"step-{len(list(folder.iterdir()))}"
        _write_mocks(place, case.mocks.get(name, (Mock(),)))
        step["shell"] = "/bin/sh"
        step["command"] = f"/bin/sh {shlex.quote(str(script))} {shlex.quote(str(place))}"
    return step


def _write_mocks(place: Path, mocks: tuple[Mock, ...]) -> None:
    place.mkdir()
    (place / "last").write_text(str(len(mocks)))
    for number, mock in enumerate(mocks, start=1):
        end = "\n" if mock.stdout and not mock.stdout.endswith("\n") else ""
        (place / f"stdout.{number}").write_text(f"{mock.stdout}{end}")
        (place / f"stderr.{number}").write_text(f"{mock.stderr}\n" if mock.stderr else "")
        (place / f"exit.{number}").write_text(str(mock.exit_code))


def _conditions(raw: Any, *, met: bool | None) -> Any:
    """Return conditions that run no command: as the case says, else those that compare values; commands are met."""
    if met is not None:
        return [{"condition": "yes", "expected": "yes" if met else "no"}]
    found = raw if isinstance(raw, list) else [raw]
    return [each for each in found if isinstance(each, dict) and _compares(each)]


def _compares(condition: Mapping[str, Any]) -> bool:
    values = {key.lower(): value for key, value in condition.items()}
    text = str(values.get("condition", ""))
    return "expected" in values and "`" not in text and "$(" not in text


def _flow(value: Any) -> str:
    """Return a YAML value as JSON, in which plain numbers such as ``010`` are written as they were."""
    if isinstance(value, NumericText):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
