"""Values in every quoting context of shell text, run by real shells."""

import itertools
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from shared.language.expansion.scope import Scope
from shared.language.expansion.shell_state import (
    DOUBLE,
    HERE_DOCUMENT,
    LITERAL_DOCUMENT,
    SINGLE,
    UNKNOWN,
    UNQUOTED,
    ShellScanner,
)
from shared.language.expansion.shell_text import expand_for_shell, shell_command
from tests.harness.cpu_time import within_cpu_time

SHELLS = ("sh", "bash")


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("echo @", UNQUOTED),
        ("echo 'a' \"b\" \\' @", UNQUOTED),
        ("echo '@", SINGLE),
        ("echo \"it's @", DOUBLE),
        ("# don't\n@", UNQUOTED),
        ("echo a#'@", SINGLE),
        ("x=${#y}; @", UNQUOTED),
        ("# don't @", UNKNOWN),
        ("\\@", UNKNOWN),
        ('echo "$(echo "@', DOUBLE),
        ('echo "$(echo @', UNQUOTED),
        ('echo "$(echo a) @', DOUBLE),
        ("$(case x in a) echo 'b';; esac) @", UNKNOWN),
        ("case x in a) echo 'b';; esac; @", UNQUOTED),
        ("f() { echo; }; @", UNQUOTED),
        ("`echo a` @", UNQUOTED),
        ("`echo @`", UNKNOWN),
        ("`echo 'a'` @", UNKNOWN),
        ('${x:-"y"} @', UNKNOWN),
        ("${x:-${y}} @", UNQUOTED),
        ("$((1 + (2 * 3))) @", UNQUOTED),
        ("$((1 << 2)) @", UNKNOWN),
        ("((x < 1)) && @", UNQUOTED),
        ("$'a' @", UNQUOTED),
        ("$'\\'' @", UNKNOWN),
        ("cat <<< @", UNQUOTED),
        ("cat <<EOF > @", UNKNOWN),
        ("cat <<EOF\n'\"`@", HERE_DOCUMENT),
        ("cat <<'EOF'\n@", LITERAL_DOCUMENT),
        ("cat <<\\EOF\n@", LITERAL_DOCUMENT),
        ('cat <<-"EOF"\na\n\tEOF\n@', UNQUOTED),
        ("cat <<-EOF\na\n EOF\n@", HERE_DOCUMENT),
        ("cat <<A <<'B'\na\nA\n@", LITERAL_DOCUMENT),
        ("cat <<A <<'B'\na\nA\nb\nB\n@", UNQUOTED),
        ("cat <<E'O'F\n@", UNKNOWN),
        ("cat <<'EOF'\r\n@", UNKNOWN),
        ("cat <<EOF 'a\nb'\n@", UNKNOWN),
        ("x=$(cat <<'EOF'\n@", LITERAL_DOCUMENT),
        ("x=$(cat <<'EOF'\n'\nEOF\n) @", UNQUOTED),
    ],
)
def test_the_quoting_context_is_known_only_where_it_is_certain(text: str, context: str) -> None:
    assert ShellScanner(text).context(text.index("@")) == context


PLACES = [
    "true $P", "true ${P}", 'true "$P"', 'true "${P}"', 'true "a ${P} b"', "true 'a ${P} b'", "true '{\"a\":\"${P}\"}'",
    "X=${P}", "X=a${P}", "true --x=${P}", 'true "x "${P}" y"', "true 'x '${P}' y'", "true \\${P}", "true $${P}",
    'true "$${P}"', "# ${P}", "# don't\ntrue ${P}", "true ${P}#'\ntrue ${P} '", 'true ${x:-"a"} ${P}',
    'true "$(echo ${P})"', "true $(echo 'a ${P} b')", "true `echo ${P}`", "true `echo 'a ${P}'`",
    "true <<E\n${P}\n${P}\nE\n", "true <<'E'\n${P}\na ${P}${P}\nE\n", "true <<-'E'\n\t${P}\n\tE\n",
    "true <<'E'\n\"${P}\"\nE\n", 'true <<E\n"${P}"\nE\n', "true <<E ${P}\na\nE\n", "sh -c 'true ${P}.'",
    "sh -c 'true \"${P}\"'", "sh <<'E'\ntrue ${P}\nE\n", "eval 'true ${P} '",
    "true <<A; sh <<'E'\na\nA\ntrue ${P}\nE\n", "for x in ${P}; do true $x; done", "[ a = ${P} ]", "true ${P}${P}",
    'true "${P}${P}"', 'true ${x:-"a"} "x "${P}" y"', 'true ${x:-"a"}; X="x "${P}" y"',
    "true ${O} ${P}", "true ${O} '${P} '", "case ${P} in a) ;; esac", "if true ${P}; then true; fi",
]  # fmt: skip
TOKENS = [
    ":>run", "$(:>run)", "`:>run`", ";", "\n", "'", '"', "\\", "&", "|", "<<E", "E", "\nE\n", "#", "(", ")", "$",
    "{", "}", " ", "\t", "a", "=", "${DAG_VALUE_1@P}", "<(", ">(", "$'", "${", "<<'E'\n",
]  # fmt: skip


RUN_EACH = """\
while [ $# -gt 0 ]; do
  (
    number=$1
    while [ "$number" -gt 0 ]; do shift; export "$1"; number=$((number - 1)); done
    script=$2
    set --
    eval "$script"
  ) > /dev/null 2>&1 < /dev/null
  shift $(($1 + 2))
  for left in *; do
    [ "$left" = "*" ] || { echo "$#"; exit 1; }
  done
done
"""
"""Runs scripts in a process each, until one leaves a file. Its arguments: how many variables, these, the script, …

To start a shell for each script would take more than twice as long.
"""


@pytest.mark.parametrize("shell", SHELLS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(value=st.lists(st.sampled_from(TOKENS), min_size=1, max_size=7).map("".join))
def test_a_value_from_outside_never_runs_wherever_it_stands(tmp_path: Path, shell: str, value: str) -> None:
    check(tmp_path, shell, value)


@pytest.mark.parametrize("shell", SHELLS)
def test_known_ways_to_break_out_of_quotes_fail(tmp_path: Path, shell: str) -> None:
    ways = ["; :>run;", '"; :>run; "', "'; :>run; '", "\n:>run\n", "x\nE\n:>run\n", "E\n:>run", "a :>run", "& :>run &",
            "$(:>run)", "`:>run`", "' $(:>run) '", "(:>run)", ") ; :>run; (", "#", "| :>run", "\\"]  # fmt: skip
    for value in ways:
        check(tmp_path, shell, value)


def check(folder: Path, shell: str, value: str) -> None:
    scope = Scope(({"P": value, "O": "author's own"},), trusted=frozenset({"O"}))
    scripts: list[tuple[str, dict[str, str]]] = []
    for text in PLACES:
        written, aside = expand_for_shell(text, scope)
        command = shell_command(text, scope)
        scripts += [(written, aside), (command, {})] if aside or command != written else [(written, aside)]
    given = [[str(len(env)), *(f"{name}={set_to}" for name, set_to in env.items()), script] for script, env in scripts]
    # Without a timeout, since with one Python asks again and again whether the process has ended.
    ran = subprocess.run(
        [shell, "-c", RUN_EACH, shell, *itertools.chain.from_iterable(given)],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), (value, _with_rest(given, ran.stdout))
    assert not any(folder.iterdir()), value


def _with_rest(given: list[list[str]], rest: str) -> list[str]:
    """Return those arguments of one script that are followed by so many."""
    left = [sum(map(len, given[at:])) for at in range(1, len(given) + 1)]
    return next((each for each, count in zip(given, left, strict=True) if rest.strip() == str(count)), [])


@pytest.mark.parametrize("shell", SHELLS)
@settings(max_examples=40, deadline=None)
@given(value=st.text(alphabet="ab '\"`$();|&\\\n<>#{}=", max_size=14))
def test_values_in_quotes_and_documents_come_out_as_they_are(shell: str, value: str) -> None:
    # A plain $name in a value is left to the shell; a document's value may not end it.
    assume(not re.search(r"\$(\w|\{\w+\})", value))
    text = "printf '<%s>' \"$P|\" '$P|' '| ${P} '\ncat <<'END'\n$P\nEND\ncat <<END\n$P\nEND\nX=$P\nprintf '%s' \"$X\"\n"
    written, aside = expand_for_shell(text, Scope(({"P": value},)))
    found = subprocess.run(
        [shell, "-c", written], env={"PATH": "/usr/bin:/bin", **aside}, capture_output=True, check=True, timeout=20
    )

    expected = f"<{value}|><$P|><| {value} >{value}\n{value}\n{value}"
    assert found.stdout.decode() == expected


SUMS = [
    "true $((${P} + 1))", 'true "$((${P} + 1))"', 'true $(( "${P}" + 1 ))', "true $(( (1 + (2 * (3))) + $P ))",
    "(( ${P} > 0 ))", "for ((i=0; i<${P}; i++)); do true; done", "[[ ${P} -eq 1 ]]", '[[ "${P}" -eq 1 ]]',
    '[[ a =~ [[:alpha:]] && "1 + ${P}" -lt 3 ]]', "[[ 1 -gt $P ]]", "a=(1 2); true ${a[${P}]}", "a[${P}]=1",
    'let "x = ${P}"', "declare -i x=${P}", "cat <<E\n$((${P} + 1))\nE", "bash -c 'true $((${P} + 1))'",
    "bash <<'E'\ntrue $((${P} + 1))\nE", "true $(true $((${P})))",
]  # fmt: skip


@pytest.mark.parametrize("text", SUMS)
def test_arithmetic_accepts_numbers_and_nothing_that_a_shell_would_evaluate(tmp_path: Path, text: str) -> None:
    evil = "x[$(:>run)]"
    for value in (evil, "Q", "1, x[`:>run`]"):
        found = _in_bash(tmp_path, text, value, Q=evil)
        assert not any(tmp_path.iterdir()), value
        assert "P is not a number, and a shell would evaluate it" in found.stderr
    for value in ("1", "0x1F", "16#ff"):
        assert _in_bash(tmp_path, text, value).stderr == "", value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("echo $((1)) ${P}", "1 abc"),
        ('echo "x[${P}]"', "x[abc]"),
        ("echo file[${P}]", "file[abc]"),
        ("declare -A m; m[${P}]=1; echo ${m[${P}]} ${!m[@]}", "1 abc"),
        ("[[ ${P} = abc && 1 -eq 1 ]] && echo ${P}", "abc"),
        ("[[ 1 -eq 1 ]] && (( 1 )) && echo $((1)) ${P}", "1 abc"),
        ("f() { ( (echo ${P}) ); }; f", "abc"),
        ("echo '((' ${P}", "(( abc"),
        ("cat <<E\n((a)) ${P}\nE", "((a)) abc"),
    ],
)
def test_what_only_looks_like_arithmetic_accepts_any_value(tmp_path: Path, text: str, shown: str) -> None:
    assert _in_bash(tmp_path, text, "abc").stdout.strip() == shown


def test_arithmetic_accepts_an_expression_of_numbers(tmp_path: Path) -> None:
    assert _in_bash(tmp_path, "echo $((${P} * 2))", "-1 + 4").stdout == "7\n"


@pytest.mark.parametrize(
    "piece", ["(($P", "[[ $P -eq ", "[[ $P\n", "let a;$P\n", "${a[$P", "a[$P ", "((cat <<E\n$P\nE\n"]
)
def test_looking_for_arithmetic_takes_linear_time(piece: str) -> None:
    with within_cpu_time(4):
        expand_for_shell(piece * (100_000 // len(piece)), Scope(({"P": "1"},)))


def test_many_here_documents_take_linear_time() -> None:
    with within_cpu_time(4):
        expand_for_shell("cat <<E\n$P\nE\n" * 8_000, Scope(({"P": "1"},)))


def test_looking_for_arithmetic_in_a_long_word_takes_linear_time() -> None:
    with within_cpu_time(4):
        expand_for_shell(f"declare -{'i' * 100_000}$P\n(($P", Scope(({"P": "1"},)))


def _in_bash(folder: Path, text: str, value: str, **env: str) -> "subprocess.CompletedProcess[str]":
    written, aside = expand_for_shell(text, Scope(({"P": value},)))
    env = {"PATH": "/usr/bin:/bin", **env, **aside}
    return subprocess.run(
        ["bash", "-c", written], cwd=folder, env=env, capture_output=True, check=False, text=True, timeout=20
    )
