"""What steps say of themselves, added to the nodes of a run's details: additions to the contract."""

from collections.abc import Mapping
from typing import Any

from services.api.operations import Call
from services.api.shapes_runs import HANDLER, STEP
from shared.store.reads import Run

__all__ = ["add_progress"]


def add_progress(call: Call, run: Run, shown: dict[str, Any]) -> dict[str, Any]:
    """Add ``progress`` and ``remarks`` to those nodes of ``shown`` whose steps said something; return it."""
    nodes = run.nodes or ()
    if not any(node.number for node in nodes):
        return shown
    said = call.deps.reads.said_in(run)
    if not said:
        return shown
    steps = [node for node in nodes if node.kind == STEP]
    for node, each in zip(steps, shown["nodes"], strict=True):
        each.update(_shape(said.get(node.idx, {})))
    for node in nodes:
        if node.kind == HANDLER and node.name in shown:
            shown[node.name] |= _shape(said.get(node.idx, {}))
    return shown


def _shape(said: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if progress := said.get("progress"):
        current, total = progress["current"], progress["total"]
        found["progress"] = {
            "current": current,
            "total": total,
            "percent": round(100 * current / total, 1),
            "text": progress.get("text", ""),
        }
    if remarks := said.get("remarks"):
        found["remarks"] = [{"level": one["level"], "text": one["text"]} for one in remarks]
    return found
