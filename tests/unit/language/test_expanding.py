"""Expansion of variables in both modes; only commands that the author wrote are run."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.language.expansion.arithmetic import ExpressionError, evaluate
from shared.language.expansion.expand import (
    ExpansionError,
    Scope,
    StepFacts,
    expand,
    expand_known,
    expand_text,
    needs_shell,
    unresolved,
)
from shared.language.expansion.globs import replace, trim_prefix, trim_suffix
from shared.language.expansion.shell_text import expand_for_shell
from shared.language.steps.command_line import split_command
from tests.harness.cpu_time import within_cpu_time


class Recorder:
    """A stand-in for the shell: records each command and returns ``output``."""

    def __init__(self, output: str = "") -> None:
        self.commands: list[str] = []
        self.output = output

    def __call__(self, command: str) -> str:
        self.commands.append(command)
        return self.output


SCOPE = Scope(
    maps=(
        {
            "X": "a b",
            "my-var": "mine",
            "1": "one",
            "12": "twelve",
            "E": "",
            "Q": 'say "hi"\\\n\tnow',
            "BAD": "$(id) `id` ${X}",
        },
        {
            "X": "hidden",
            "J": '{"k":[1,2],"n":1000000,"f":1.50,"t":true,"z":null,"o":{"a":"b"},"s":"x y"}',
            "A": '[{"x":1}]',
            "PATH_": "/usr/lib/x.tar.gz",
        },
    ),
    steps={
        "s": StepFacts(stdout="/logs/s.out", stderr="", exit_code=3, output='{"rows":7}'),
        "my-step": StepFacts(stdout="/logs/m.out"),
    },
)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        (r"s/\$price/\${price}/ $price.", r"s/\$price/\${price}/ ."),
        (r"echo \$HOME \${HOME:-x} $HOME", r"echo \$HOME \${HOME:-x} /home/ann"),
        (r"pa\$word\$K\${K} '\$K'", r"pa\$word\known\known '\known'"),
        (r"\\$HOME \\\$HOME", r"\\/home/ann \\\$HOME"),
    ],
)
def test_a_backslash_keeps_a_reference_that_the_workflow_does_not_set(text: str, expanded: str) -> None:
    assert expand(text, Scope(({"K": "known"},), host={"HOME": "/home/ann"})) == expanded


@pytest.mark.parametrize(
    ("text", "textual", "full"),
    [
        ("", "", ""),
        ("plain", "plain", "plain"),
        ("echo $X", "echo a b", "echo a b"),
        ("echo '$X' '${X}'", "echo '$X' '${X}'", "echo 'a b' 'a b'"),
        ("awk '$1 > 5' '>$1' '$1,$1'", "awk '$1 > 5' '>$1' '$1,$1'", "awk 'one > 5' '>one' 'one,one'"),
        ("'${1}${1}${1}'", "'${1}one${1}'", "'oneoneone'"),
        (
            "'${J.k[1]}' '${s.exit_code}' '$J.n' '< $J.n >'",
            "'2' '3' '$J.n' '< 1000000 >'",
            "'2' '3' '1000000' '< 1000000 >'",
        ),
        ("'${U.k}' '${X.k}'", "'${U.k}' '${X.k}'", "'' ''"),
        ("awk '{print $1}'", "awk '{print one}'", "awk '{print one}'"),
        ('echo "${X}"', 'echo "a b"', 'echo "a b"'),
        ('"${12}"${12}"b"', '"twelve"twelve"b"', '"twelve"twelve"b"'),
        ('"${Q}"', '"say \\"hi\\"\\\\\\n\\tnow"', '"say \\"hi\\"\\\\\\n\\tnow"'),
        ('"$Q"', '"say "hi"\\\n\tnow"', '"say "hi"\\\n\tnow"'),
        ('"${U}"', '"${U}"', '""'),
        ("${1}${12}$12", "onetwelvetwelve", "onetwelvetwelve"),
        ("echo ${U} $U", "echo ${U} $U", "echo  "),
        ("echo ${U:-z}", "echo ${U:-z}", "echo z"),
        ("\\${X}", "\\a b", "\\a b"),
        ("$(date) $(echo $U $X)", "$(date) $(echo $U a b)", "$(date) $(echo $U a b)"),
        ("$X.txt $U.txt", "a b.txt $U.txt", "a b.txt .txt"),
        ("$ $$ ${} ${X ${-} 5$", "$ $$ ${} ${X ${-} 5$", "$ $$ ${} ${X ${-} 5$"),
        ("${J.k[1]}", "2", "2"),
        ("$J.n ${J.f}", "1000000 1.50", "1000000 1.50"),
        ("${J.t}${J.z}|${J.nope.x}|${J.k[9]}", "true||", "true||"),
        ("${J.o} ${J.k} ${J.s}", '{"a":"b"} [1,2] x y', '{"a":"b"} [1,2] x y'),
        ("${A.[0].x}", "1", "1"),
        ("${X.a}", "${X.a}", ""),
        ("${s.stdout} ${s.exit_code}${s.exitCode}", "/logs/s.out 33", "/logs/s.out 33"),
        ("${s.stdout:1:4} ${s.stdout:6}", "logs s.out", "logs s.out"),
        ("${s.stderr}", "${s.stderr}", ""),
        ("${s.output} ${s.output.rows}", '{"rows":7} 7', '{"rows":7} 7'),
        ("$1a $12a $2a", "$1a $12a $2a", "onea one2a a"),
        ("${my-var} ${my-other}", "mine ${my-other}", "mine other"),
        ("${my-step.stdout} ${U-a.b}", "/logs/m.out ${U-a.b}", "/logs/m.out a.b"),
        ("$((1 + 2 * 3))", "$((1 + 2 * 3))", "7"),
        ("$((1 / 0))", "$((1 / 0))", "$((1 / 0))"),
        ("`", "`", "`"),
        ("`` \\`x\\`", "`` \\`x\\`", "`` \\`x\\`"),
        ("n=`expr 1 + 1`", "n=`expr 1 + 1`", "n=`expr 1 + 1`"),
        ("`echo $X`", "`echo a b`", "`echo a b`"),
        ("$BAD", "$(id) `id` ${X}", "$(id) `id` ${X}"),
    ],
)
def test_textual_and_full_mode(text: str, textual: str, full: str) -> None:
    assert expand_text(text, SCOPE) == textual
    assert expand(text, SCOPE) == full


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{print $2, $NF, $0}", "{print $2, $NF, $0}"),
        ("${U}|${U.x}|$U.txt|${no.stdout}", "${U}|${U.x}|$U.txt|${no.stdout}"),
        ("${X}|${U:-d}|${#U}|$1a|$((1 + 1))", "a b|d|0|onea|2"),
        ("${my-other}|$BAD", "other|$(id) `id` ${X}"),
        ("$Xy|$U1", "$Xy|$U1"),
    ],
)
def test_what_no_shell_will_read_keeps_references_to_what_is_not_set(text: str, expected: str) -> None:
    assert expand_known(text, SCOPE) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${U-d}|${U:-d}|${E-d}|${E:-d}|${X-d}", "d|d||d|a b"),
        ("${U:=d}|${U=d}", "d|d"),
        ("${U+s}|${E+s}|${E:+s}|${X:+s}", "|s||s"),
        ("${U:-${1}}|${U:-`c`}", "one|`c`"),
        ("${#X}|${#U}", "3|0"),
        ("${PATH_#*/}|${PATH_##*/}", "usr/lib/x.tar.gz|x.tar.gz"),
        ("${PATH_%.*}|${PATH_%%.*}", "/usr/lib/x.tar|/usr/lib/x"),
        ("${X:2}|${X:0:1}|${X: -1}", "b|a|b"),
        ("${X/ /_}|${PATH_//\\//:}|${X/a}", "a_b|:usr:lib:x.tar.gz| b"),
        ("${X^}|${X^^}|${X,,}", "A b|A B|a b"),
        ("${X:?unset}", "a b"),
        ('${U:-\'$X\'}|${U:-"$X"}|${U:-a\'b}|${U:-""}', "$X|a b|a'b|"),
    ],
)
def test_parameter_operators(text: str, expected: str) -> None:
    assert expand(text, SCOPE) == expected
    assert expand_text(text, SCOPE) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("~", "/h"), ("~/x", "/h/x"), ("${U:-~/x}", "/h/x"), ("~x", "~x"), ("x ~", "x ~"), ("$T", "~"), ("'~'", "'~'")],
)
def test_a_leading_tilde_is_the_home_directory(text: str, expected: str) -> None:
    home = Scope(({"HOME": "/h", "T": "~"},))
    assert expand(text, home) == expected
    assert expand_text(text, home) == (text if text != "$T" else "~")


def test_a_variable_that_must_be_set_fails_the_expansion() -> None:
    with pytest.raises(ExpansionError, match="U: give it"):
        expand("${U:?give it}", SCOPE)


PATHS = Scope(
    (
        {
            "J": '{"a":[1,2,3],"l":[{"n":"x"},{"n":"y"}],"e":[[],["in"]],"b":{"c d":"spaced","k:1":7},"s":"text"}',
            "O": '{"o":{"z":2,"a":1}}',
        },
    )
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${J.a[-1]}|${J.a[-3]}|${J.a[-4]}|$J.a[-1]", "3|1||3"),
        ("${J.l[].n}|${J.l.[].n}|${J.e[][]}|${J.s[]}|${J.nope[]}|$J.l[].n", "x|x|in|||x"),
        ("${J.b[]}|${O.o[]}", "spaced|1"),
        ("${J.a[0:2]}|${J.a[1:]}|${J.a[:-1]}|${J.a[:]}|${J.s[1:3]}|${J.b[0:1]}", "[1,2]|[2,3]|[1,2]|[1,2,3]|ex|"),
        ('${J.b["c d"]}|${J.b.["c d"]}|${J.b."c d"}|${J.b["k:1"]}|${J.["s"]}', "spaced|spaced|spaced|7|text"),
        ("${J.a[0]?}|${J.nope?.x?}|${J.b?[]?}", "1||spaced"),
        ('"${J.b["c d"]}"', '"spaced"'),
    ],
)
def test_a_path_goes_where_jqs_does(text: str, expected: str) -> None:
    assert expand_text(text, PATHS) == expected
    assert expand(text, PATHS) == expected


@pytest.mark.parametrize("text", ["${J.a | length}", "${J.a[x]}", "${J.a[1}", '${J.b["c}', "${J.a[0:1:2]}", "${J.}"])
def test_what_is_no_path_stays_for_the_shell(text: str) -> None:
    assert expand_text(text, PATHS) == text


def test_shell_safe_quotes_hide_what_a_shell_acts_on() -> None:
    assert expand_for_shell('"${BAD}"', SCOPE) == ('"\\$(id) \\`id\\` \\${X}"', {})


# ---- commands --------------------------------------------------------------------------------------


def test_a_command_runs_through_the_callback_and_its_output_is_trimmed() -> None:
    shell = Recorder(" 2026\n")

    found = expand("a `date +%F` b", SCOPE, shell)

    assert (found, shell.commands) == ("a 2026 b", ["date +%F"])


def test_what_a_real_shell_makes_of_a_hostile_value() -> None:
    scope = Scope(({"V": "$(echo pwned) `echo pwned`; echo pwned 'x' \"y\""},))

    def run(command: str) -> str:
        return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout

    for text in ('`printf %s "$V"`', '`printf %s "a ${V} b"`', "`echo $V`"):
        found = expand(text, scope, run)
        assert "$(echo pwned)" in found
        assert "`echo pwned`;" in found


@given(st.text(alphabet="ab`$(){}'\"\\:-+#%/?.[]*1~ \n", max_size=40), st.text(max_size=10))
def test_nothing_runs_without_a_callback_and_nothing_else_raises(text: str, value: str) -> None:
    scope = Scope(({"a": value, "1": value},), {"b": StepFacts(stdout=value)})

    assert isinstance(expand_text(text, scope), str)
    try:
        assert isinstance(expand(text, scope), str)
    except ExpansionError:
        assert "?" in text


@given(st.text(max_size=30))
def test_an_inserted_value_is_never_looked_at_again(value: str) -> None:
    scope = Scope(({"V": value, "W": "w"},))
    shell = Recorder()

    found = expand("<${V}>$V|", scope, shell)

    assert (found, shell.commands) == (f"<{value}>{value}|", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("`date`", True), ("${U:-`date`}", True), ("``", False), ("`x", False), ("\\`x\\`", False), ("$(x)", False)],
)
def test_which_text_needs_a_shell(text: str, expected: bool) -> None:
    assert needs_shell(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("x", False), ("$A", False), ("${B:-$A}", True), ("${A:-$B}", True), ("'$B'", True), ("~/x", True), ("x~", False),
     ("$((A + 1))", False),
     ("$((B + 1))", True), ("costs $5", False), ("${A.k}", False), ("${A-x.y}", False), ("$(B)", False)],
)  # fmt: skip
def test_which_text_has_unresolved_variables(text: str, expected: bool) -> None:
    assert unresolved(text, {"A": None}) is expected


# ---- parts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0), ("2 ** 10", 1024), ("-7 / 2", -3), ("-7 % 3", -1), ("1 ? 2 : 3", 2), ("(1 + 2) * 3", 9),
        ("1 << 4 | 1", 17), ("!0 + ~0", 0), ("5 > 3 && 2 >= 2", 1), ("0x1f + 010", 39), ("N + $N", 10), ("U", 0),
        ("9223372036854775807 + 1", -(2**63)), ("2 ** 1000", 0), ("1 - 2 - 3", -4), ("1 == 1 != 0", 1),
    ],
)  # fmt: skip
def test_arithmetic_is_evaluated(text: str, expected: int) -> None:
    assert evaluate(text, lambda name: {"N": "5"}.get(name, "")) == expected


@pytest.mark.parametrize("text", ["1 +", "1 / 0", "2 ** -1", "(" * 300, "a b", "1 1", "@", "08", "1" * 2000, "x"])
def test_invalid_arithmetic_is_an_error(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, lambda _: "word")


@pytest.mark.parametrize(
    ("trim", "pattern", "longest", "expected"),
    [
        (trim_prefix, "*.", False, "b.c.d"),
        (trim_prefix, "*.", True, "d"),
        (trim_suffix, ".*", False, "a.b.c"),
        (trim_suffix, ".*", True, "a"),
        (trim_prefix, "[a-c]?", False, "b.c.d"),
        (trim_prefix, "[!a]", False, "a.b.c.d"),
        (trim_prefix, "*", True, ""),
        (trim_prefix, "*", False, "a.b.c.d"),
        (trim_suffix, "[", False, "a.b.c.d"),
    ],
)
def test_globs_match_as_in_a_shell(trim: object, pattern: str, longest: bool, expected: str) -> None:
    assert callable(trim)
    assert trim("a.b.c.d", pattern, longest=longest) == expected


def test_globs_do_not_explode() -> None:
    assert trim_prefix("a" * 20_000, "*a" * 12 + "b", longest=True) == "a" * 20_000
    assert replace("abc", "b*", "X", every=True) == "aX"


@pytest.mark.parametrize("text", ["$X" * 2_000, "${NONE:-" + "$X" * 2_000 + "}", "${X//x/$X}"])
def test_a_text_that_would_fill_the_memory_is_refused(text: str) -> None:
    scope = Scope(({"X": "x" * 1_000_000},))

    with pytest.raises(ExpansionError, match="longer than 16777216 characters"):
        expand(text, scope)


def test_a_shell_text_that_would_fill_the_memory_is_refused() -> None:
    for expanded in (expand_text, expand_for_shell, expand_known):
        with pytest.raises(ExpansionError, match="longer than 16777216 characters"):
            expanded("$X" * 2_000, Scope(({"X": "x" * 1_000_000},), trusted=frozenset("X")))


def test_hostile_text_is_cut_in_linear_time() -> None:
    # Linear time is 0.1 s. A step for each pair of characters would take minutes.
    for text in (
        "$" * 50_000,
        "${" * 25_000,
        "`\\" * 25_000,
        "${X:-" * 10_000,
        "$((" * 17_500,
        "$(" * 25_000,
        "${X.[" * 12_500,
        "${X." + '"' * 50_000,
        "${X." + "[" * 50_000,
        "${X." + '[""]' * 12_500,
    ):
        with within_cpu_time(4):
            expand_text(text, SCOPE)
            expand_for_shell(f"{text} $X", SCOPE)


@given(st.text(alphabet="ab '\"\\\n\té$#", max_size=15))
def test_words_are_split_as_a_posix_shell_does(text: str) -> None:
    import shlex  # noqa: PLC0415 - the oracle

    try:
        expected: object = tuple(shlex.split(text))
    except ValueError:
        expected = ValueError
    try:
        found: object = split_command(text)
    except ValueError:
        found = ValueError

    assert found == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo `echo a b` c", ("echo", "`echo a b`", "c")),
        ("echo x`echo e f`y", ("echo", "x`echo e f`y")),
        ('echo `a "b  c" \\` d` e', ("echo", '`a "b  c" \\` d`', "e")),
        ("echo '`a b' c", ("echo", "`a b", "c")),
        ("echo `a b", ("echo", "`a b")),
        ("echo `a\\", ("echo", "`a\\")),
    ],
)
def test_a_command_in_back_quotes_is_part_of_one_word(text: str, words: tuple[str, ...]) -> None:
    assert split_command(text) == words


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.integers() | st.text(max_size=5) | st.booleans(), max_size=4
    )
)
def test_json_paths_give_back_what_is_there(value: dict[str, object]) -> None:
    scope = Scope(({"J": json.dumps(value)},))

    for key, item in value.items():
        expected = item.replace("\0", "") if isinstance(item, str) else json.dumps(item)
        assert expand_text(f"<${{J.{key}}}>", scope) == f"<{expected}>"
