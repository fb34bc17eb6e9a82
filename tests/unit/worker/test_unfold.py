"""What a ``call`` step hands over: one variable is one value, whatever it holds."""

import json
from collections.abc import Mapping

import pytest

from services.worker.unfold import unfold
from shared.spec.expand import Scope
from tests.unit.spec.specs import step_of

_VALUES = {"OUT": "a b", "PAIR": "X=1 Y=2", "J": '{"k": "v w"}', "N": "7", "E": "", "Q": 'say "hi"'}


def _given(params: str, values: Mapping[str, str] = _VALUES) -> object:
    step = step_of(f"{{call: c, params: {params}}}")
    (call,) = unfold(step, Scope((values,)), lambda command: f"ran {command}")
    return json.loads(call.given) if call.given[:1] == "{" else call.given


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
        ("'${PAIR}'", "X=1 Y=2"),
        ("'{\"X\": ${N}}'", {"X": 7}),
        ("'${E}'", ""),
    ],
)
def test_params_are_split_before_they_are_expanded(params: str, expected: object) -> None:
    assert _given(params) == expected


def test_an_item_is_one_value_too() -> None:
    step = step_of("{call: c, parallel: [a b, c], params: 'X=${ITEM}'}")

    calls = unfold(step, Scope(({},)), str)

    assert [(call.params, json.loads(call.given)) for call in calls] == [
        ('X="a b"', {"X": "a b"}),
        ('X="c"', {"X": "c"}),
    ]
