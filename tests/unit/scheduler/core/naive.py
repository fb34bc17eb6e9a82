"""The core without memory: a tally that looks at all nodes of a run again after every change.

``Stage`` lets every decision be made twice, with the tally that the core keeps and with this one: they must be equal,
to the last transition and effect.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from services.scheduler.core.model import WAITS, Node
from services.scheduler.core.plan import FOLLOW_UP, Plan
from services.scheduler.core.step_rules import lets_dependents_run
from services.scheduler.core.tally import Tally
from shared.status import AttemptState, NodeStatus

__all__ = ["NaiveTally"]


class NaiveTally(Tally):
    """A tally of plain comprehensions over all nodes."""

    def __init__(self, plan: Plan, nodes: Sequence[Node]) -> None:
        self.plan = plan
        self._owner = [nodes]
        self.nodes = list(nodes)
        self._look()

    def replace(self, old: Node, node: Node) -> None:  # noqa: ARG002 - it looks at all nodes
        self._look()

    def due(self, now: datetime, most: int | None) -> list[Node]:
        steps = self.nodes[: len(self.plan.dag.steps)]
        found = [node for node in steps if _due(node, now) and (node.number or self._ready(node.idx))]
        return sorted(found, key=lambda node: not _under_way(node))[:most]

    def _ready(self, idx: int) -> bool:
        steps = self.plan.steps
        return all(lets_dependents_run(steps[parent], self.nodes[parent]) for parent in self.plan.depends[idx])

    def take_unpropagated(self) -> list[int]:
        steps = self.nodes[: len(self.plan.dag.steps)]
        return [node.idx for node in steps if node.status is NodeStatus.NOT_STARTED and node.attempt is None]

    def _look(self) -> None:
        steps = self.nodes[: len(self.plan.dag.steps)]
        self.statuses = Counter(node.status for node in steps)
        self.unfinished = sum(not node.status.terminal for node in steps)
        self.under_way = sum(_under_way(node) for node in self.nodes)
        self.steps_under_way = sum(_under_way(node) for node in steps)
        self.open = sum(node.attempt is not None for node in steps)
        self.ahead = sum(node.attempt is not None and node.attempt.state is AttemptState.DISPATCHED for node in steps)
        self.with_outputs = {node.idx for node in steps if node.outputs}
        self.output_chars = sum(len(text) for node in self.nodes for text in node.outputs.values())


def _under_way(node: Node) -> bool:
    busy = node.attempt is not None or node.status is NodeStatus.RUNNING or node.admission != ""
    return busy and node.kind != FOLLOW_UP


def _due(node: Node, now: datetime) -> bool:
    if node.attempt is not None or node.calls or node.admission == WAITS:
        return False
    if node.status is NodeStatus.RUNNING:
        return node.retry_at is None or node.retry_at <= now
    return node.status is NodeStatus.NOT_STARTED
