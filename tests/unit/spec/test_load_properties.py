"""Loading never raises, is fast, and its model survives JSON."""

import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.spec.load import load
from shared.spec.model import Dag

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
        began = time.perf_counter()
        assert load(text).ok
        spent.append(time.perf_counter() - began)

    assert min(spent) < 0.25  # about 15 ms on an idle machine
