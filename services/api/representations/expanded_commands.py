"""What a step ran: its commands with the run's parameters, and what steps before it put out, in their places.

Variables of ``env`` and secrets stay by name, as do commands in back-quotes: their values were the worker's.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from shared.language.expansion.expand import Scope, expand_text
from shared.store.reads.reader import NodeRow, RunRow

__all__ = ["put_values"]


def put_values(step: dict[str, Any], run: RunRow, node: NodeRow) -> None:
    """Put values into the shape of a step that began."""
    commands, script = step.get("commands", ()), step.get("script", "")
    if "$" not in script and not any("$" in word for command in commands for word in _words(command)):
        return
    scope = Scope((dict(run.shown_params), _outputs_before(run, node)))
    for command in commands:
        command["command"] = expand_text(command["command"], scope)
        if "args" in command:
            command["args"] = [expand_text(word, scope) for word in command["args"]]
    if script:
        step["script"] = expand_text(script, scope)


def _words(command: Mapping[str, Any]) -> tuple[str, ...]:
    return (command["command"], *command.get("args", ()))


def _outputs_before(run: RunRow, node: NodeRow) -> dict[str, str]:
    """Return what had been put out when the node began; of two with one name, what came later."""
    began = node.started_at
    ended = [(each.finished_at, each.outputs) for each in run.nodes or () if each.outputs and each.finished_at]
    ended = [(at, outputs) for at, outputs in ended if began and at <= began]
    return {name: str(value) for _, outputs in sorted(ended, key=itemgetter(0)) for name, value in outputs.items()}
