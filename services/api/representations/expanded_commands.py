"""Expands the commands of a step that has started, with the run's parameters and the outputs of earlier steps.

Variables of ``env``, secrets and commands in backquotes stay as written: only the worker knows their values. So does a
text that would be very long, and all further ones of a run whose expanded texts are very long together.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any

from shared.language.expansion.expand import ExpansionError, Scope, expand_text
from shared.store.reads.reader import NodeRow, RunRow

__all__ = ["ExpandedCommands"]

_MOST_SHOWN_CHARS = 256 * 1024
_MOST_OF_RUN_CHARS = 4 * 1024 * 1024
"""How many characters the expanded texts of one run have: thousands of commands may all have the same large output."""
_Timed = Mapping[str, list[tuple[datetime, str]]]
"""By name of an output: when its values were there, and the values, in the order of time."""


class ExpandedCommands:
    """Expands the commands of the steps of one run. What all steps have in common is made once, when it is needed."""

    def __init__(self, run: RunRow) -> None:
        self._run = run
        self._left = _MOST_OF_RUN_CHARS

    def expand(self, step: dict[str, Any], node: NodeRow) -> None:
        """Expand the commands in the JSON of a step that has started, in place."""
        commands, script = step.get("commands", ()), step.get("script", "")
        if "$" not in script and not any("$" in word for command in commands for word in _words(command)):
            return
        scope = Scope((self._params, _Before(self._outputs, node.started_at) if node.started_at else {}))
        for command in commands:
            command["command"] = self._shown(command["command"], scope)
            if "args" in command:
                command["args"] = [self._shown(word, scope) for word in command["args"]]
        if script:
            step["script"] = self._shown(script, scope)

    def _shown(self, text: str, scope: Scope) -> str:
        if "$" not in text:
            return text
        try:
            shown = expand_text(text, scope, min(_MOST_SHOWN_CHARS, self._left))
        except ExpansionError:
            return text
        self._left -= len(shown)
        return shown

    @cached_property
    def _params(self) -> dict[str, str]:
        return dict(self._run.shown_params)

    @cached_property
    def _outputs(self) -> _Timed:
        ended = [(each.finished_at, each.outputs) for each in self._run.nodes or () if each.finished_at]
        found: dict[str, list[tuple[datetime, str]]] = {}
        for at, outputs in sorted(ended, key=itemgetter(0)):
            for name, value in outputs.items():
                found.setdefault(name, []).append((at, str(value)))
        return found


class _Before(Mapping[str, str]):
    """The outputs that existed at a time. If several have the same name, the latest counts."""

    def __init__(self, values: _Timed, at: datetime) -> None:
        self._values = values
        self._at = at

    def __getitem__(self, name: str) -> str:
        values = self._values[name]
        earlier = bisect_right(values, self._at, key=itemgetter(0))
        if not earlier:
            raise KeyError(name)
        return values[earlier - 1][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, values in self._values.items() if values[0][0] <= self._at)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _words(command: Mapping[str, Any]) -> tuple[str, ...]:
    return (command["command"], *command.get("args", ()))
