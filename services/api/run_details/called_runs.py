"""The runs that a run's steps called: those of a step's last repetition, then those of the ones before."""

from collections.abc import Iterator
from typing import Any

from services.api.operations import Call
from services.api.representations.dag_json import sparse
from services.api.representations.run_json import STEP
from shared.store.reads.reader import NodeRow, RunRow

__all__ = ["add_repeated", "called"]


def add_repeated(call: Call, run: RunRow, shown: dict[str, Any]) -> None:
    """Tell of each repeated step of a run's shape the runs that its earlier repetitions called."""
    nodes = [node for node in run.nodes or () if node.kind == STEP]
    if not any(map(_repeated, nodes)):
        return
    earlier = _earlier(call, run)
    for node, item in zip(nodes, shown["nodes"], strict=True):
        if _repeated(node):
            item["subRunsRepeated"] = [
                {"dagRunId": run_id, **sparse(params=params)} for run_id, params in earlier.get(node.idx, ())
            ]


def called(call: Call, run: RunRow) -> Iterator[tuple[str, str]]:
    """Yield id and params of all runs that a run called, by node."""
    earlier = _earlier(call, run)
    for node in run.nodes or ():
        yield from node.children
        yield from earlier.get(node.idx, ())


def _repeated(node: NodeRow) -> bool:
    return bool(node.children) and (node.done_count > 1 or (node.done_count == 1 and node.finished_at is None))


def _earlier(call: Call, run: RunRow) -> dict[int, list[tuple[str, str]]]:
    current = {run_id for node in run.nodes or () for run_id, _ in node.children}
    found: dict[int, list[tuple[str, str]]] = {}
    for node, run_id, params in call.deps.reads.called_runs(run.root_key or run.run_key, run.run_key):
        if node is not None and run_id not in current:
            found.setdefault(node, []).append((run_id, params))
    return found
