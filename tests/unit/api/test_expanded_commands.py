"""The commands of steps that have started, with the values that these steps had."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.api.representations.expanded_commands import ExpandedCommands
from shared.status import NodeStatus, RunStatus
from shared.store.reads.reader import NodeRow, RunName, RunRow

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class _Counted(tuple[NodeRow, ...]):
    """The nodes of a run. Counts how many of them are looked at."""

    __slots__ = ()
    looked_at = 0

    def __iter__(self) -> Iterator[NodeRow]:
        for node in super().__iter__():
            type(self).looked_at += 1
            yield node


def _node(idx: int, outputs: dict[str, str], *, ended: bool = True) -> NodeRow:
    """Return a step that starts at second ``idx`` and ends half a second later."""
    started_at = NOW + timedelta(seconds=idx)
    return NodeRow(
        run_key="r",
        idx=idx,
        kind="step",
        name=f"s{idx}",
        status=NodeStatus.SUCCEEDED,
        number=1,
        retry_count=0,
        done_count=1,
        exit_code=0,
        error="",
        stdout="",
        stderr="",
        outputs=outputs,
        children=(),
        started_at=started_at,
        finished_at=started_at + timedelta(milliseconds=500) if ended else None,
    )


def _run(nodes: tuple[NodeRow, ...], params: tuple[tuple[str, str], ...] = ()) -> RunRow:
    unset: dict[str, Any] = dict.fromkeys(RunRow._fields)
    set_here = {"status": RunStatus.RUNNING, "asked_as": "", "root": RunName("d", "r")}
    return RunRow(**unset | set_here | {"params": params, "nodes": nodes})


def _expanded(run: RunRow, idx: int, command: str) -> str:
    assert run.nodes is not None
    step: dict[str, Any] = {"commands": [{"command": command}]}
    ExpandedCommands(run).expand(step, run.nodes[idx])
    return str(step["commands"][0]["command"])


@pytest.mark.parametrize(("idx", "shown"), [(0, "echo ${X}"), (1, "echo first"), (2, "echo second"), (4, "echo third")])
def test_a_command_has_the_newest_output_from_before_its_start(idx: int, shown: str) -> None:
    nodes = (_node(0, {"X": "first"}), _node(1, {"X": "second"}), _node(2, {}), _node(3, {"X": "third"}), _node(4, {}))

    assert _expanded(_run(nodes), idx, "echo ${X}") == shown


def test_the_output_of_a_step_that_has_not_ended_is_not_known_yet() -> None:
    assert _expanded(_run((_node(0, {"X": "early"}, ended=False), _node(1, {}))), 1, "echo ${X}") == "echo ${X}"


def test_a_param_goes_before_an_output() -> None:
    run = _run((_node(0, {"X": "output"}), _node(1, {})), (("X", "param"),))

    assert _expanded(run, 1, "echo ${X}") == "echo param"


def test_all_steps_together_look_at_each_node_once() -> None:
    nodes = _Counted(_node(idx, {f"X{idx}": "v"}) for idx in range(200))
    expanded = ExpandedCommands(_run(nodes))
    _Counted.looked_at = 0

    for idx in range(1, 200):
        step: dict[str, Any] = {"commands": [{"command": "echo", "args": [f"${{X{idx - 1}}}"]}]}
        expanded.expand(step, nodes[idx])
        assert step["commands"][0]["args"] == ["v"]

    assert _Counted.looked_at == 200


def test_a_large_output_in_thousands_of_commands_does_not_fill_the_memory() -> None:
    nodes = (_node(0, {"X": "x" * 200_000, "Y": "y"}), _node(1, {}))
    steps: list[dict[str, Any]] = [{"commands": [{"command": "echo", "args": ["$X", "$Y"]}]} for _ in range(1000)]
    expanded = ExpandedCommands(_run(nodes))

    for step in steps:
        expanded.expand(step, nodes[1])

    shown = [step["commands"][0]["args"] for step in steps]
    assert shown[0] == ["x" * 200_000, "y"]
    assert shown[-1] == ["$X", "y"]
    assert sum(map(len, (text for texts in shown for text in texts))) < 5_000_000
