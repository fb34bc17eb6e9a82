"""Loading never raises, is fast, and its model survives JSON."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.language.load import load
from shared.language.model import Dag
from tests.harness.cpu_time import within_cpu_time

_KEYS = sorted(
    {"name", "type", "schedule", "env", "dotenv", "params", "secrets", "preconditions", "steps", "handlerOn", "shell",
     "command", "script", "depends", "executor", "config", "output", "continueOn", "retryPolicy", "repeatPolicy",
     "call", "parallel", "container", "llm", "messages", "ssh", "smtp", "limit", "intervalSec", "exitCode", "backoff",
     "repeat", "condition", "expected", "items", "image", "exec", "ports", "exit", "schema", "values", "timeoutSec"}
)  # fmt: skip
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "a", "a b", "graph", "'", "${X}"])
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)
)


@given(st.dictionaries(st.sampled_from(_KEYS), _VALUES, max_size=6))
def test_no_value_anywhere_makes_it_raise_and_the_model_survives_json(document: dict[str, Any]) -> None:
    loaded = load(repr_yaml(document), file_name="x.yaml")

    assert loaded.dag is not None
    assert Dag.model_validate_json(loaded.dag.model_dump_json()) == loaded.dag


@pytest.mark.parametrize(
    "text",
    [
        "steps: [[" + "a," * 25_000 + "],[" + "a," * 25_000 + "]]",
        "steps: [[" + "a," * 4_000 + "],[" + "a," * 4_000 + "]]",
        "steps: [[" + "a," * 4_000 + "]" + ",a" * 4_000 + "]",
        "\n".join(f"key{number}: 1" for number in range(50_000)),
        "steps:\n" + "\n".join(f"- {{name: n{number}, command: a, depends: x{number}}}" for number in range(9_000)),
        "schedule: [" + ",".join(f"'{number} 0 1-{number % 28 + 1} * *'" for number in range(20_000)) + "]",
        "a: " + "[" * 60 + "]" * 60 + "\nenv: [" + "A=1," * 200_000 + "]",
        "steps: ['" + 'echo \\"x ' * 100_000 + "']",
        "otel: {timeout: '" + "0" * 40_000 + "x'}",
    ],
    ids=[
        "many steps",
        "many edges",
        "crowded names",
        "unknown keys",
        "bad depends",
        "schedules",
        "env",
        "command",
        "duration",
    ],
)
def test_hostile_text_comes_to_an_end(text: str) -> None:
    # Linear time is under 2 s for each of them.
    with within_cpu_time(7):
        loaded = load(text)

    assert loaded.documents or loaded.errors


def test_reading_stops_when_too_much_is_wrong() -> None:
    loaded = load("\n".join(f"key{number}: 1" for number in range(300)), file_name="x.yaml")

    assert len(loaded.errors) == 201
    assert str(loaded.errors[-1]) == "stopped after 200 problems: fix these first"
    assert loaded.dag == Dag(name="x")


def repr_yaml(value: Any) -> str:
    """Write a value as YAML flow text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {repr_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(repr_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + value.replace('"', '\\"') + '"'
    if isinstance(value, float):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}.get(repr(value), repr(value))
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def test_a_big_dag_loads_fast_enough_to_load_on_every_request() -> None:
    step = '  - name: step_{0}\n    command: echo "step {0}" | cat\n    env: [A: {0}]\n    output: OUT_{0}\n'
    text = "steps:\n" + "".join(step.replace("{0}", str(number)) for number in range(300))

    spent = []
    for _ in range(3):
        began = time.process_time()
        assert load(text).ok
        spent.append(time.process_time() - began)

    assert min(spent) < 0.25  # about 15 ms on an idle machine
