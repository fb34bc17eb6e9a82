"""What a ``call`` step passes to its sub-runs: one variable is one value, whatever it contains."""

from collections.abc import Mapping

import pytest

from services.scheduler.core.children import why_impossible
from services.worker.attempt.fan_out import fan_out, split_items
from shared.contracts.events import ChildCall
from shared.language.expansion.expand import Scope
from shared.language.expansion.params_syntax import parse_params_text
from tests.unit.language.specs import step_of

_VALUES = {
    "OUT": "a b",
    "PAIR": "X=1 Y=2",
    "J": '{"k": "v w"}',
    "N": "7",
    "E": "",
    "Q": 'say "hi"',
    "ODD": "$HOME `id` a\\b",
}


def _read(given: str) -> dict[str, str]:
    return {param.name: param.value for param in parse_params_text(given)[0]}


def _given(params: str, values: Mapping[str, str] = _VALUES) -> dict[str, str]:
    step = step_of(f"{{call: c, params: {params}}}")
    (call,) = fan_out(step, Scope((values,)), lambda command: f"ran {command}")
    return _read(call.given)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("'X=${OUT} Y=$Q'", {"X": "a b", "Y": 'say "hi"'}),
        ('\'X="${OUT} c" Y=""\'', {"X": "a b c", "Y": ""}),
        ("'first ${OUT}'", {"1": "first", "2": "a b"}),
        ("'$OUT'", {"1": "a b"}),
        ("'${J}'", {"1": '{"k": "v w"}'}),
        ("'${J.k}'", {"1": "v w"}),
        ("'X=${J.k}'", {"X": "v w"}),
        ("'X=`date +%F`'", {"X": "ran date +%F"}),
        ('\'{"X": "${OUT}", "Y": 5}\'', {"X": "a b", "Y": "5"}),
        ("['X=${OUT}', {Y: $N}]", {"X": "a b", "Y": "7"}),
        ("{Y: 1, X: $OUT}", {"X": "a b", "Y": "1"}),
        # Beyond Dagu, which loses these: pairs in one variable, and JSON that a variable completes.
        ("'${PAIR}'", {"X": "1", "Y": "2"}),
        ("'{\"X\": ${N}}'", {"X": "7"}),
        ("'${E}'", {}),
        ("'X=${ODD}'", {"X": "$HOME `id` a\\b"}),
    ],
)
def test_params_are_split_before_they_are_expanded(params: str, expected: dict[str, str]) -> None:
    assert _given(params) == expected


def test_an_item_is_one_value_too() -> None:
    step = step_of("{call: c, parallel: [a b, c], params: 'X=${ITEM}'}")

    calls = fan_out(step, Scope(({},)), str)

    assert [(call.params, _read(call.given)) for call in calls] == [
        ('X="a b"', {"X": "a b"}),
        ('X="c"', {"X": "c"}),
    ]


def test_a_sub_run_gets_json_only_if_text_would_be_evaluated() -> None:
    # What was given as JSON is all that a run's DAGU_PARAMS_JSON tells.
    step = step_of("{call: c, params: 'X=${X}'}")
    forms = [
        fan_out(step, Scope(({"X": value},)), str)[0].given
        for value in ("a b", 'say "hi"', "", "$HOME", "`id`", "a\\b")
    ]

    assert [form[:1] for form in forms] == ["X", "X", "X", "{", "{", "{"]


def test_items_of_a_json_text_have_sorted_keys() -> None:
    assert split_items('[{"b": 1, "a": {"d": 2.50, "c": []}}, null, " ", "", "x"]') == [
        '{"a":{"c":[],"d":2.50},"b":1}',
        "null",
        " ",
        "",
        "x",
    ]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('{"b": 1,\n "a": 2}', ['{"b": 1,\n "a": 2}']),
        ('"a b" c', ["a b", "c"]),
        ('d "a b" e', ["d", "a b", "e"]),
        ('"a b", "c"', ["a b", ",", "c"]),
        ('K="v w" Z=1', ["K=", "v w", "Z=1"]),
        ('"x"y z', ["x", "y", "z"]),
        ('"" a', ["", "a"]),
        ('a" "b', ["a", " ", "b"]),
        ('"a" " b', ["a", " b"]),
        ('"a" b"', ["a", "b"]),
        # The quotes are inside of the words.
        ('{"a":1} {"b":2}', ['{"a":1}', '{"b":2}']),
        ('{"a":1},{"b":2}', ['{"a":1}', '{"b":2}']),
        ('a,"b c",d', ["a", '"b c"', "d"]),
        ('"a b', ['"a', "b"]),
        ('a "', ["a", '"']),
        ('"a b"\n"c"', ['"a b"', '"c"']),
        ("a,b c,", ["a", "b c"]),
    ],
)
def test_a_text_is_split_as_in_dagu(text: str, items: list[str]) -> None:
    assert split_items(text) == items


@pytest.mark.parametrize(
    ("item", "given"),
    [
        ('{B: "$X", A: 1}', '{"A":"1","B":"a \\"b\\""}'),
        ('\'{"z":1,"a":2}\'', '{"z":1,"a":2}'),
        ('\'{"z": "1", "a": "2"}\'', '{"z": "1", "a": "2"}'),
    ],
)
def test_json_text_in_a_list_of_items_stays_as_it_is(item: str, given: str) -> None:
    step = step_of(f"{{call: c, parallel: [{item}]}}")
    (call,) = fan_out(step, Scope(({"X": 'a "b"'},)), str)
    assert call.params == given


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("s3cr3t", 'A="*******" B="x"'),
        ("Bearer s3cr3t", 'A="Bearer *******" B="x"'),
        ("s3cr3t\\", '{"A": "*******\\\\", "B": "x"}'),
        ("open", ""),
    ],
)
def test_secrets_are_not_shown_and_do_not_change_what_is_called(value: str, shown: str) -> None:
    step = step_of('{name: s, call: c, params: {A: "${X}", B: x}}')
    (plain,) = fan_out(step, Scope(({"X": value},)), str)
    (call,) = fan_out(step, Scope(({"X": value},)), str, lambda text: text.replace("s3cr3t", "*******"))

    assert call == plain.model_copy(update={"shown": shown})


@pytest.mark.parametrize(
    "name",
    [
        *("child", " child.yaml ", "~/dags/child", "${DAG}", "`name`", "a-${DAG:-b}", "a\\b", "US$"),
        *(" a ${NONE}", "${DAG}/../b", "`name`.yaml ", "a/${DAG}/../b-${DAG}"),
    ],
)
def test_a_scheduler_takes_the_name_that_a_worker_evaluates(name: str) -> None:
    step = step_of(f"{{call: '{name}'}}")
    calls = fan_out(step, Scope(({"HOME": "/home/ops", "DAG": "child"},)), lambda command: f"ran-{command}")

    assert why_impossible(step, calls) == ""


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("child", "other"),
        ("team-${DAG}", "other"),
        ("team-${DAG}", "team-/../other"),
        ("team/${DAG}", "team/../other"),
        ("${DAG}-test", "prod"),
        ("team-$DAG-test", "team-test"),
    ],
)
def test_a_scheduler_takes_no_name_that_a_worker_cannot_evaluate(call: str, name: str) -> None:
    said = why_impossible(step_of(f"{{call: '{call}'}}"), [ChildCall(dag=name)])

    assert said == f"its worker reports a call of {name!r}, but the step calls {call!r}"
