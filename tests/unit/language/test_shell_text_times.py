"""Neither a value nor a script takes a worker long: nothing else in its process runs while it reads them."""

import pytest

from shared.language.expansion.scope import Scope
from shared.language.expansion.shell_text import expand_for_shell
from tests.harness.cpu_time import within_cpu_time

CONTEXTS = ("echo ${P}", "X=${P}", 'echo "a ${P}"', "cat <<END\n${P}\nEND\n", "bash -c '${P}'", "`a` ${x:-'y'} ${P}")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", CONTEXTS)
def test_a_value_of_many_names_is_judged_at_once(text: str) -> None:
    """Two ways to match each name were a time that doubled with each: 100 characters stopped the worker."""
    for last in (";", "'", '"', "`"):
        with within_cpu_time(2):
            expand_for_shell(text, Scope(({"P": "$a_name" * 20_000 + last},)))


@pytest.mark.timeout(60)
def test_names_in_an_operator_of_the_shell_are_skipped_at_once() -> None:
    with within_cpu_time(2):
        expand_for_shell("echo ${x:" + "$a_name" * 20_000 + "' ${P}", Scope(({"P": "1"},)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "cat <<END\n${P}\nEND\n" * 20_000,
        "true\ncat" + " <<END" * 30_000 + "\n" + "END\n" * 30_000 + "${P}",
        "cat " + "a" * 200_000 + " <<'END'\n" + "${P}\n" * 20_000 + "END\n",
        "cat <<END\n" + "$(a) `b` $((1)) ${P}" * 20_000 + "\nEND\n",
    ],
    ids=["many", "many-on-a-line", "long-line", "commands"],
)
def test_here_documents_take_a_time_that_grows_with_the_script_only(text: str) -> None:
    with within_cpu_time(4):
        written, _ = expand_for_shell(text, Scope(({"P": "1;2"},)))
    assert "${P}" not in written


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "let a=${P}\n" * 20_000,
        "grep -i ${P} a\n" * 20_000,
        "[[ 1 -eq ${P} ]]\n" * 20_000,
        "[[ a " + "${P} " * 10_000,
        "((a ${P}" * 20_000,
        "cat -i <<END\n" + "(( ${P}\n" * 20_000 + "END\n",
        " let" * 100_000 + ";\n ${P}",
        " declare -" + "i" * 100_000 + ".\n${P}",
        "${a[" * 100_000 + "] ${P} a[",
        ";a[" * 100_000 + "] ${P}",
    ],
    ids=range(10),
)
def test_arithmetic_is_looked_for_in_a_time_that_grows_with_the_script_only(text: str) -> None:
    with within_cpu_time(4):
        expand_for_shell(text, Scope(({"P": "12"},)))
