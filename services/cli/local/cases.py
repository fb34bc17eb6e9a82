"""Files with test cases for a workflow: ``NAME.test.yaml`` beside ``NAME.yaml``.

A case says with which parameters to run the workflow, what its steps do instead of their commands, and what to expect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.cli.errors import WorkflowInvalid
from services.cli.paths import read_text
from shared.language.issues import Issues, did_you_mean
from shared.language.yaml.fields import is_scalar, scalar_text
from shared.language.yaml.reader import YamlMap, read_yaml

__all__ = ["CASES_SUFFIXES", "Case", "CaseFile", "Mock", "read_cases"]

CASES_SUFFIXES = (".test.yaml", ".test.yml")
"""How files with test cases end."""

_FILE_KEYS = ("dag", "cases")
_CASE_KEYS = ("name", "params", "env", "met", "mock", "run", "expect")
_MOCK_KEYS = ("stdout", "stderr", "exitCode", "met")
_EXPECT_KEYS = ("status", "steps", "outputs", "retries", "stdout")


@dataclass(frozen=True, slots=True)
class Mock:
    """What a step does in one attempt, instead of its command."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One case. All maps are by step name, but ``outputs`` by variable."""

    name: str
    params: Mapping[str, str] | str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    met: Mapping[str, bool] = field(default_factory=dict)
    """Whether the preconditions of a step are met; of the DAG under the empty name."""
    mocks: Mapping[str, tuple[Mock, ...]] = field(default_factory=dict)
    """By attempt; later attempts do what the last one does."""
    run: frozenset[str] = frozenset()
    """The steps whose own commands run."""
    status: str = "succeeded"
    steps: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    retries: Mapping[str, int] = field(default_factory=dict)
    stdout: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A file with cases, and the workflow file that they run."""

    file: Path
    dag: Path
    cases: tuple[Case, ...]


class _Mistake(Exception):
    """A value is not what the file needs."""


def read_cases(file: Path) -> CaseFile:
    """Read a file with cases.

    Raises:
        WorkflowInvalid: it cannot be read, or something in it is wrong; the text names the place.
    """
    try:
        text = read_text(file)
    except OSError as error:
        raise WorkflowInvalid(f"{file}: cannot read the file: {error.strerror}") from error
    issues = Issues()
    documents = read_yaml(text, issues)
    if issues.found:
        raise WorkflowInvalid("\n".join(f"{file}: {issue}" for issue in issues.found))
    try:
        if len(documents) != 1:
            raise _Mistake("the file must have one document")
        found = _map(documents[0].value, "the file", _FILE_KEYS)
        default = next(file.name.removesuffix(each) for each in CASES_SUFFIXES if file.name.endswith(each)) + ".yaml"
        dag = file.parent / _text(found.get("dag", default), "dag")
        cases = found.get("cases")
        if not isinstance(cases, list) or not cases:
            raise _Mistake("cases: must be a list with at least one case")
        read = tuple(_case(each, f"cases[{number}]", number) for number, each in enumerate(cases))
    except _Mistake as error:
        raise WorkflowInvalid(f"{file}: {error}") from error
    return CaseFile(file, dag, read)


def _case(value: Any, where: str, number: int) -> Case:
    found = _map(value, where, _CASE_KEYS)
    expect = _map(found.get("expect", {}), f"{where}.expect", _EXPECT_KEYS)
    params = found.get("params", "")
    mocks: dict[str, tuple[Mock, ...]] = {}
    met = {"": _true_or_false(found["met"], f"{where}.met")} if "met" in found else {}
    for step, mock in _map(found.get("mock", {}), f"{where}.mock").items():
        attempts = mock if isinstance(mock, list) else [mock]
        mocks[step] = tuple(_mock(each, f"{where}.mock.{step}") for each in attempts) or (Mock(),)
        for each in attempts:
            if isinstance(each, dict) and "met" in each:
                met[step] = _true_or_false(each["met"], f"{where}.mock.{step}.met")
    run = found.get("run", [])
    return Case(
        name=_text(found.get("name", f"case {number + 1}"), f"{where}.name"),
        params=_texts(params, f"{where}.params") if isinstance(params, dict) else _text(params, f"{where}.params"),
        env=_texts(found.get("env", {}), f"{where}.env"),
        met=met,
        mocks=mocks,
        run=frozenset(_text(each, f"{where}.run") for each in (run if isinstance(run, list) else [run])),
        status=_text(expect.get("status", "succeeded"), f"{where}.expect.status"),
        steps=_texts(expect.get("steps", {}), f"{where}.expect.steps"),
        outputs=_texts(expect.get("outputs", {}), f"{where}.expect.outputs"),
        retries={
            step: _whole(count, f"{where}.expect.retries.{step}")
            for step, count in _map(expect.get("retries", {}), f"{where}.expect.retries").items()
        },
        stdout=_texts(expect.get("stdout", {}), f"{where}.expect.stdout"),
    )


def _mock(value: Any, where: str) -> Mock:
    if not isinstance(value, dict):
        return Mock(stdout=_text("" if value is None else value, where))
    found = _map(value, where, _MOCK_KEYS)
    return Mock(
        stdout=_text(found.get("stdout", ""), f"{where}.stdout"),
        stderr=_text(found.get("stderr", ""), f"{where}.stderr"),
        exit_code=_whole(found.get("exitCode", 0), f"{where}.exitCode"),
    )


def _map(value: Any, where: str, known: tuple[str, ...] | None = None) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _Mistake(f"{where}: must be a map")
    for key in value if known is not None else ():
        if key not in (known or ()):
            line = f"line {value.key_at[key][0]}: " if isinstance(value, YamlMap) and key in value.key_at else ""
            hint = did_you_mean(key, known or ())
            raise _Mistake(f"{line}{where}: unknown field {key!r}{f' ({hint})' if hint else ''}")
    return value


def _text(value: Any, where: str) -> str:
    if not is_scalar(value):
        raise _Mistake(f"{where}: must be a text")
    return scalar_text(value)


def _texts(value: Any, where: str) -> dict[str, str]:
    return {name: _text(item, f"{where}.{name}") for name, item in _map(value, where).items()}


def _whole(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Mistake(f"{where}: must be a whole number")
    return value


def _true_or_false(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _Mistake(f"{where}: must be true or false")
    return value
