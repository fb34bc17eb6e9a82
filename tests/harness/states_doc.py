"""Write docs/states.md from the core's table of legal changes: ``python -m tests.harness.states_doc``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from shared.status import NodeStatus, RunStatus
from shared.status_changes import NODE_CHANGES, RUN_CHANGES

__all__ = ["PAGE", "page"]

S = TypeVar("S", RunStatus, NodeStatus)

PAGE = Path(__file__).parents[2] / "docs" / "states.md"

_HEAD = """\
# States

Written by `python -m tests.harness.states_doc` from `shared/status_changes.py`; a test compares the two.
A change that is not drawn here is refused by the core, as a bug. The one exception is a step whose status a
person sets by hand, which only a run that is not running allows.
"""
_RUNS = """
## Runs

The status of a DAG run. It stays `running` while handlers run. A run that ended is left by an explicit retry only.

"""
_NODES = """
## Nodes

The status of a step, handler or prepare inside a run. A step that waits for its next try is `running`.
The way back to `not_started` is a retry of the run.

"""


def page() -> str:
    """Return the text of docs/states.md."""
    runs = _section(RUN_CHANGES, list(RunStatus), [RunStatus.NOT_STARTED, RunStatus.QUEUED])
    nodes = _section(NODE_CHANGES, list(NodeStatus), [NodeStatus.NOT_STARTED])
    return _HEAD + _RUNS + runs + _NODES + nodes


def _section(changes: Mapping[S, frozenset[S]], order: list[S], first: Sequence[S]) -> str:
    lines: list[str] = ["```mermaid", "stateDiagram-v2", *(f"    [*] --> {status}" for status in first)]
    rows: list[str] = ["| from | to |", "| --- | --- |"]
    for was in order:
        became = sorted(changes[was], key=order.index)
        lines += [f"    {was} --> {status}" for status in became]
        rows.append(f"| `{was}` | {', '.join(f'`{status}`' for status in became)} |")
    return "\n".join([*lines, "```", "", *rows]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
