"""Write docs/states.md from the core's table of legal changes: ``python -m tests.harness.states_doc``."""

from collections.abc import Mapping
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

What each status means, and which ones may follow it. Any other change is refused by the core, as a bug. The one
exception is a step whose status a person sets by hand, which only a run that is not running allows.
"""
_RUNS = """
## Runs

The status of a DAG run. A new run is `not_started` or `queued`. It stays `running` while handlers run. A run that
ended is left by an explicit retry only.

"""
_NODES = """
## Nodes

The status of a step, handler or prepare inside a run. A new one is `not_started`, and the way back there is a retry of
the run.

"""
_RUN_MEANINGS = {
    RunStatus.NOT_STARTED: "It begins at once.",
    RunStatus.QUEUED: "It waits in its queue.",
    RunStatus.RUNNING: "Its steps or handlers run, or wait for something other than a person.",
    RunStatus.WAITING: "A step waits for a person, and nothing else in the run is active.",
    RunStatus.SUCCEEDED: "All steps succeeded or were skipped.",
    RunStatus.PARTIALLY_SUCCEEDED: "A step failed and `continueOn` allows that, or a sub-run succeeded partially.",
    RunStatus.FAILED: "A step or handler, the preparation or the timeout of the run made it fail.",
    RunStatus.ABORTED: "It was stopped, or removed from its queue.",
    RunStatus.REJECTED: "A person rejected a step.",
}
_NODE_MEANINGS = {
    NodeStatus.NOT_STARTED: "It waits for the steps that it depends on.",
    NodeStatus.RUNNING: "It runs, or waits for a worker, a place, its next attempt or its sub-runs.",
    NodeStatus.WAITING: "It waits for a person, or a sub-run of it does.",
    NodeStatus.SUCCEEDED: "It succeeded, or failed with `markSuccess`.",
    NodeStatus.PARTIALLY_SUCCEEDED: "A sub-run of it succeeded partially.",
    NodeStatus.FAILED: "It failed or timed out, or its worker was lost, and it is not tried again.",
    NodeStatus.ABORTED: "It was stopped, or never ran because a step that it depends on failed or was not carried out.",
    NodeStatus.SKIPPED: "Its precondition was not met, or a step that it depends on was skipped.",
    NodeStatus.REJECTED: "A person rejected it.",
}


def page() -> str:
    """Return the text of docs/states.md."""
    runs = _table(RUN_CHANGES, _RUN_MEANINGS, list(RunStatus))
    return _HEAD + _RUNS + runs + _NODES + _table(NODE_CHANGES, _NODE_MEANINGS, list(NodeStatus))


def _table(changes: Mapping[S, frozenset[S]], meanings: Mapping[S, str], order: list[S]) -> str:
    rows: list[str] = ["| status | meaning | may become |", "| --- | --- | --- |"]
    for was in order:
        became = ", ".join(f"`{status}`" for status in sorted(changes[was], key=order.index))
        rows.append(f"| `{was}` | {meanings[was]} | {became} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
