"""A parameter in the code of another shell is reported when the workflow is loaded."""

import json

import pytest

from shared.language.load import load
from shared.language.steps.nested_shells import param_in_code
from tests.harness.cpu_time import within_cpu_time


def warnings(field: str, text: str) -> list[str]:
    loaded = load(f"params: P=1 Q=2\nsteps:\n  - {field}: {json.dumps(text)}\n", file_name="a")
    assert loaded.ok, loaded.errors
    return [str(issue) for issue in loaded.warnings]


@pytest.mark.parametrize(
    "text",
    [
        'bash -c "echo ${P}"',
        'dash -e -uc "echo; echo $P"',
        "sh -c echo\\ $P",
        "eval echo ${P}",
        'eval "echo \\"${P}\\""',
        'eval "$CMD" \'quoted\' "${P}"',
        "bash <<END\necho ${P}\nEND\n",
        "/bin/sh -s <<-END\n\techo $P\n\tEND\n",
    ],
)
def test_a_parameter_in_code_is_reported(text: str) -> None:
    (warning,) = warnings("script", text)

    assert "line 3" in warning
    assert "script: parameter ${P} becomes code of another shell" in warning
    assert "put the code in single quotes: bash -c 'echo \"${P}\"'" in warning


def test_it_is_reported_for_a_command_too() -> None:
    (warning,) = warnings("command", 'bash -c "echo ${P}"')

    assert "steps[0].command: parameter ${P} becomes code" in warning


@pytest.mark.parametrize(
    "text",
    [
        'bash -c \'echo "$1"\' _ "${P}"',
        "bash -c 'echo ${P}'",
        "eval 'echo ${P}'",
        'bash -c "echo ${OTHER}"; echo "${P}"',
        'bash -c "echo \\${P}"',
        "bash <<'END'\necho ${P}\nEND\n",
        "cat <<END\n${P}\nEND\n",
        "bash <<END\necho\nEND\necho ${P}",
        "bash <<-END\n\techo\n\tEND\necho ${P}",
        "./medieval ${P}",
        "push -c ${P}",
    ],
)
def test_a_parameter_elsewhere_is_not(text: str) -> None:
    assert warnings("script", text) == []


@pytest.mark.parametrize("piece", ["sh <<A\n", 'sh -c "', "sh -a -a ", "eval ", "sh  ", "sh -c 'x' "])
def test_searching_takes_linear_time(piece: str) -> None:
    with within_cpu_time(3):
        param_in_code(piece * (1_000_000 // len(piece)), {"P"})
