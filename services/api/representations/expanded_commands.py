"""Expands the commands of a step that has started, with the run's parameters and the outputs of earlier steps.

Variables of ``env``, secrets and commands in backquotes stay as written: only the worker knows their values. So does a
text that would be very long.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from shared.language.expansion.expand import ExpansionError, Scope, expand_text
from shared.store.reads.reader import NodeRow, RunRow

__all__ = ["expand_commands"]

_MOST_SHOWN_CHARS = 256 * 1024


def expand_commands(step: dict[str, Any], run: RunRow, node: NodeRow) -> None:
    """Expand the commands in the JSON of a step that has started, in place."""
    commands, script = step.get("commands", ()), step.get("script", "")
    if "$" not in script and not any("$" in word for command in commands for word in _words(command)):
        return
    scope = Scope((dict(run.shown_params), _outputs_before(run, node)))
    for command in commands:
        command["command"] = _shown(command["command"], scope)
        if "args" in command:
            command["args"] = [_shown(word, scope) for word in command["args"]]
    if script:
        step["script"] = _shown(script, scope)


def _shown(text: str, scope: Scope) -> str:
    try:
        return expand_text(text, scope, _MOST_SHOWN_CHARS)
    except ExpansionError:
        return text


def _words(command: Mapping[str, Any]) -> tuple[str, ...]:
    return (command["command"], *command.get("args", ()))


def _outputs_before(run: RunRow, node: NodeRow) -> dict[str, str]:
    """Return the outputs that existed when the node started. If several have the same name, the latest is returned."""
    started = node.started_at
    ended = [(each.finished_at, each.outputs) for each in run.nodes or () if each.outputs and each.finished_at]
    ended = [(at, outputs) for at, outputs in ended if started and at <= started]
    return {name: str(value) for _, outputs in sorted(ended, key=itemgetter(0)) for name, value in outputs.items()}
