"""Parameters and env at the start of a run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.language.expansion.expand import ExpansionError
from shared.language.expansion.params_syntax import (
    default_params_text,
    go_quote,
    params_text,
    parse_params_text,
    quote_pairs,
)
from shared.language.expansion.resolve import (
    needs_worker,
    params_from_outside,
    resolve_env,
    resolve_params,
)
from shared.language.load import load
from shared.language.model import Dag
from tests.harness.cpu_time import within_cpu_time

_NAMES = st.from_regex(r"[A-Z]{1,4}", fullmatch=True)


def dag_of(text: str) -> Dag:
    dag = load(text).dag
    assert dag is not None
    return dag


@pytest.mark.parametrize(
    ("params", "given_text", "expected"),
    [
        ("a b", "", "1=a 2=b"),
        ("a b", "c", "1=c 2=b"),
        ("N=山田\u3000太郎 x\u00a0y", "M=a\u2028b", "N=山田\u3000太郎 2=x\u00a0y M=a\u2028b"),
        ("[{K: v}]", "K=w", "K=w"),
        ("[{K: v}]", "w", "K=v 1=w"),
        ("[{K: v}, {L: x}]", "L=1 M=2 K=3", "K=3 L=1 M=2"),
        ("[{K: v}]", '{"K": 1000000, "N": null, "O": {"a": [1.50]}}', 'K=1000000 N= O={"a":[1.50]}'),
        ("[{K: v}]", '["x", {"K": true}]', "K=true 1=x"),
        ("[{K: v}]", '{"K": broken', "K=v 1={ 2=K 3=: 4=broken"),
        ("[{K: v}]", "{}", "K=v"),
        ("", "", ""),
        ("[{A: 1}, {B: '${A}2'}, {C: '${E}${U}'}]", "", "A=1 B=12 C=e"),
        ("[{A: 1}, {B: '${A}2'}]", "A=9", "A=9 B=92"),
        ("[{A: 1}]", 'B="x $A ${E} `id`"', "A=1 B=x 1 ${E} `id`"),
        ("[{A: 1}]", '{"B": "x $A"}', "A=1 B=x $A"),
        ("[{A: 1}, {B: 2}]", "B=9 A=${B}", "A=9 B=9"),
        ("[{A: 1}, {B: 2}, {M: 3}]", "B=${M} A=x${B}", "A=x${M} B=${M} M=3"),
        ("[{M: 3}, {A: 1}, {B: 2}]", "B=${M}! A=x${B}", "M=3 A=x3! B=3!"),
        ("[{A: 1}, {B: 2}]", "A=${B} B=$A", "A=${B} B=${B}"),
        ("[{A: 1}, {B: 2}]", '{"B": "9", "A": "${B}"}', "A=${B} B=9"),
    ],
)
def test_overrides_are_merged_by_name(params: str, given_text: str, expected: str) -> None:
    pairs, _ = resolve_params(dag_of(f"params: {params}"), given_text, env=(("E", "e"),))

    assert params_text(pairs) == expected


@pytest.mark.parametrize(
    ("given_text", "outside"),
    [
        ("", ()),
        ('A="1" B="x $A" C="`echo ${B}`" D="own"', ()),
        ("A=9", ("A", "B", "C")),
        ('{"B": "9"}', ("B", "C")),
        ("N=9", ("N",)),
    ],
)
def test_a_default_made_of_a_given_value_is_not_trusted(given_text: str, outside: tuple[str, ...]) -> None:
    dag = dag_of("params: [{A: 1}, {B: 'x $A'}, {C: '`echo ${B}`'}, {D: own}]")

    assert params_from_outside(dag, given_text) == outside


def test_the_authors_values_are_text_in_commands_and_given_ones_are_quoted() -> None:
    dag = dag_of("params: [{P: '*.txt'}, {G: d}, {R: '`ls $P $G $E`'}]")
    ran: list[str] = []

    def run(command: str) -> str:
        ran.append(command)
        return ""

    resolve_params(dag, "G=$(x)", env=(("E", "a && b"),), run_command=run)
    resolve_env((("E", "a && b"), ("F", "`$E $H`")), {"H": "$(x)"}, run)

    assert ran == [
        "DAG_VALUE_1='$(x)'; ls *.txt ${DAG_VALUE_1} a && b",
        "DAG_VALUE_1='$(x)'; a && b ${DAG_VALUE_1}",
    ]


def test_a_default_command_runs_once_and_only_if_it_is_not_overridden() -> None:
    dag = dag_of('params: ["D=`echo 7`", "E=${D}x"]')
    ran: list[str] = []

    def run(command: str) -> str:
        ran.append(command)
        return "7\n"

    assert resolve_params(dag, run_command=run)[0] == (("D", "7"), ("E", "7x"))
    assert resolve_params(dag, "D=`rm`", run_command=run)[0] == (("D", "`rm`"), ("E", "`rm`x"))
    assert ran == ["echo 7"]


def test_a_backslash_keeps_a_reference_to_env_in_a_default() -> None:
    dag = dag_of(r"params: [{V: '/\${E}'}, {W: '\$V'}, {X: '${E}'}]")

    assert resolve_params(dag, env=(("E", "x"),))[0] == (("V", r"/\${E}"), ("W", r"\/\${E}"), ("X", "x"))


def test_the_json_text_is_the_given_one_or_made_from_all_parameters() -> None:
    dag = dag_of("params: [{K: v}, x]")

    assert resolve_params(dag, ' {"a":1.0} ')[1] == '{"a":1.0}'
    assert resolve_params(dag)[1] == '{"2":"x","K":"v"}'
    assert resolve_params(dag_of("name: a"))[1] is None


@given(st.text(max_size=40))
def test_what_comes_from_outside_never_runs_anything(text: str) -> None:
    dag = dag_of("params: [{A: 1}, {B: '${A}'}]")

    def run(command: str) -> str:
        raise AssertionError(command)

    for override in (text, json.dumps({"A": text, "W": text}), quote_pairs((("A", text), ("Z", text)))):
        resolve_params(dag, override, env=(("E", "e"),), lookup={"SECRET": "s"}, run_command=run)
    pairs = dict(resolve_params(dag, json.dumps({"A": text}), run_command=run)[0])

    storable = text.replace("\0", "")
    assert pairs == {"A": storable, "B": storable}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (r'{"A": "n\u0000m\ud800"}', ("A", "nm\ufffd")),
        (r'{"A": ["\udfff", "\u0000", "\ud83d\ude00"]}', ("A", '["\ufffd","\\u0000","\U0001f600"]')),
        (r'["\u0000\ud800"]', ("1", "\ufffd")),
        (r'[{"n\ud800\u0000": "v"}]', ("n\ufffd", "v")),
    ],
)
def test_escapes_in_json_make_only_text_that_can_be_stored(given: str, read: tuple[str, str]) -> None:
    (param,), _ = parse_params_text(given)

    assert (param.name, param.value) == read


@given(st.lists(st.tuples(_NAMES, st.text(max_size=8)), unique_by=lambda pair: pair[0]))
def test_quoted_pairs_are_read_back(pairs: list[tuple[str, str]]) -> None:
    found, was_json = parse_params_text(quote_pairs(tuple(pairs)))

    if not any("\\" in value for _, value in pairs):
        assert ([(param.name, param.value) for param in found], was_json) == (pairs, False)


@pytest.mark.timeout(20)
def test_escaped_quotes_behind_a_back_quote_are_read_at_once() -> None:
    """Two ways to match each of them were a time that doubled with each: the scheduler did nothing else meanwhile."""
    assert parse_params_text("`" + '\\"' * 20_000)[0]
    (one,), _ = parse_params_text('K=`echo \\"a\\" b`')

    assert (one.name, one.value) == ("K", '`echo \\"a\\" b`')


@pytest.mark.parametrize("depth", [201, 600, 5_000, 100_000])
def test_json_that_is_nested_too_deeply_is_a_text(depth: int) -> None:
    """To write it again needs too deep a recursion: a scheduler failed with it and with all commands beside it."""
    text = "[" * depth + "]" * depth
    assert [(param.name, param.value) for param in parse_params_text(text)[0]] == [("1", text)]
    assert parse_params_text(text[1:-1])[1] == (depth == 201)


def test_long_hostile_overrides_are_read_at_once() -> None:
    for text in ('"' * 200_001, "`" * 200_001, "a" * 500_000, '\\"' * 100_000, "=" * 100_000, "[" * 100_000):
        with within_cpu_time(3):
            parse_params_text(text)


BOMB = [("A0", "x" * 60), *((f"A{n}", f"${{A{n - 1}}}" * 10) for n in range(1, 9))]
"""A few lines that would make 6 GB."""


def test_values_that_multiply_each_other_are_refused() -> None:
    refused = pytest.raises(ExpansionError, match="longer than 2097152 characters")
    with refused:
        resolve_env(tuple(BOMB))
    with refused:
        resolve_params(dag_of(json.dumps({"params": [{name: text} for name, text in BOMB]})))
    with refused:
        resolve_params(dag_of("{}"), " ".join(f"{name}={text}" for name, text in BOMB))


def test_many_values_within_the_limit_of_each_are_refused_together() -> None:
    largest = [("A", "x" * 1_000_000), ("B", "$A")]

    assert len(resolve_env(tuple(largest))) == 2
    with pytest.raises(ExpansionError, match="longer than 2097152 characters"):
        resolve_env((*largest, ("C", "$A")))


def test_env_sees_what_comes_before_and_the_host() -> None:
    dag = dag_of("env: [{A: 1}, {B: '${A}2'}, {A: 3}, {C: '${A}${HOST}${P}'}, {D: '`x`$(y)'}]")

    found = resolve_env(dag.env, {"HOST": "h"}, lambda command: command.upper())

    assert found == (("A", "1"), ("B", "12"), ("A", "3"), ("C", "3h"), ("D", "X$(y)"))
    assert resolve_env(dag.env)[-1] == ("D", "`x`$(y)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env: {A: 1, B: '${A}'}\nparams: [{C: '$B'}, {D: '${C}'}]", False),
        ("env: {A: '`date`'}", True),
        ("env: {A: '${HOME}'}", True),
        ("env: {A: '${B}', B: 1}", True),
        ("params: '`date`'", True),
        ("params: [{A: '$USER'}]", True),
        ("params: [{A: 'costs $5 or $(date)'}]", False),
        ("params: {schema: s.json}", True),
        ("name: a", False),
    ],
)
def test_which_dags_need_a_worker_for_their_values(text: str, expected: bool) -> None:
    assert needs_worker(dag_of(text)) is expected


def test_default_params_are_quoted_as_start_dialogs_read_them() -> None:
    dag = dag_of("params: [{K: 'a \"b\" \\ é'}, x]")

    assert default_params_text(dag) == 'K="a \\"b\\" \\\\ é" 2="x"'
    assert go_quote("\n\t\x00\u200b") == '"\\n\\t\\x00\\u200b"'
