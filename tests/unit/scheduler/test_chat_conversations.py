"""A chat step gets the conversation of the chat steps on which it depends directly, as in Dagu."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.model import Run
from services.scheduler.core.plan import STEP, Plan
from services.scheduler.deciding.chat_history import with_chat_history
from shared.language.load import load
from shared.store.writes.transaction import Transaction

SYSTEM = {"b": "be brief", "c": "be kind"}


def plan(steps: Mapping[str, str]) -> Plan:
    """Return a plan of steps. ``steps``: by name, the steps on which one depends. Those with ``x`` do not chat."""
    chat = "type: chat, llm: {provider: local, model: m}, messages: [{role: user, content: hi}]"
    lines = [
        f"  - {{name: {name}, {'command: echo' if 'x' in name else chat}, depends: [{depends}]}}\n"
        for name, depends in steps.items()
    ]
    loaded = load("type: graph\nsteps:\n" + "".join(lines), file_name="chats.yaml")
    assert loaded.dag is not None, loaded.errors
    return Plan(loaded.dag)


def told(steps: Mapping[str, str], *silent: str) -> str:
    """Return the messages that the last of ``steps`` gets. Each step has said its name, except the ``silent`` ones."""
    made = plan(steps)
    names = list(steps)

    def messages(_: str, nodes: list[int]) -> dict[int, list[dict[str, str]]]:
        said = {node: names[node] for node in nodes if names[node] not in silent and "x" not in names[node]}
        systems = {node: [{"role": "system", "content": SYSTEM[name]}] for node, name in said.items() if name in SYSTEM}
        return {node: [*systems.get(node, ()), {"role": "user", "content": name}] for node, name in said.items()}

    class Task(SimpleNamespace):
        def model_copy(self, update: dict[str, Any]) -> "Task":
            return Task(**(self.__dict__ | update))

    task = Task(step=made.steps[len(steps) - 1], kind=STEP, node=len(steps) - 1, options={})
    tx = cast(Transaction, SimpleNamespace(progress=SimpleNamespace(messages=messages)))
    run = cast(Run, SimpleNamespace(run_key="r", plan=made))
    asked: Any = with_chat_history(tx, run, Dispatch(task=cast(Any, task), worker_id=None))
    return ", ".join(message["content"] for message in asked.task.options.get("history", ()))


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({"a": "", "d": "a"}, "a"),
        ({"a": "", "x": "a", "d": "x"}, ""),
        ({"a": "", "x": "a", "b": "", "d": "x, b"}, "be brief, b"),
        ({"a": "", "e": "a", "f": "e", "d": "f"}, "a, e, f"),
        ({"a": "", "e": "", "d": "e, a"}, "e, a"),
        ({"a": "", "b": "", "c": "", "d": "c, b, a"}, "be kind, c, b, a"),
        ({"a": "", "b": "a", "c": "a", "d": "b, c"}, "be brief, a, b, c"),
        ({"c": "", "b": "c", "d": "b"}, "be brief, c, b"),
        ({"a": "", "e": "a", "d": "a, e"}, "a, e"),
    ],
)
def test_a_conversation_goes_on_in_the_chat_steps_that_depend_on_its_last_one(
    steps: dict[str, str], expected: str
) -> None:
    assert told(steps) == expected


def test_a_chat_step_without_an_answer_ends_the_conversation() -> None:
    assert told({"a": "", "e": "a", "d": "e"}, "e") == ""
    assert told({"a": "", "e": "a", "f": "", "d": "e, f"}, "e") == "f"


def test_a_long_conversation_of_many_chats_is_told() -> None:
    chain = {"s0": "", **{f"s{n}": f"s{n - 1}" for n in range(1, 3_000)}}
    assert told(chain).count(",") == 2_998
