"""The nodes of a new run, and their tally: made once for each plan."""

from functools import lru_cache

from services.scheduler.core import follow_ups
from services.scheduler.core.model import Node
from services.scheduler.core.plan import FOLLOW_UP, HANDLER, PREPARE, STEP, Plan
from services.scheduler.core.tally import Tally

__all__ = ["fresh_nodes", "fresh_tally"]


@lru_cache(maxsize=128)
def fresh_nodes(plan: Plan, *, prepare: bool) -> tuple[Node, ...]:
    """Return the nodes of a new run: steps and handlers, then a follow-up node and a prepare node if it needs them.

    Runs of the same plan share them, because nodes never change.
    """
    last = len(plan.dag.steps)
    nodes = [Node(idx, STEP if idx < last else HANDLER, step.name) for idx, step in enumerate(plan.steps)]
    if follow_ups.needed(plan.dag):
        nodes.append(Node(len(nodes), FOLLOW_UP, follow_ups.free_name({node.name for node in nodes})))
    if prepare:
        nodes.append(Node(len(nodes), PREPARE, "prepare"))
    return tuple(nodes)


def fresh_tally(plan: Plan, *, prepare: bool) -> Tally:
    """Return the tally of a new run with ``fresh_nodes``. It is counted once for each plan, and then copied."""
    return _counted(plan, prepare=prepare).copy()


@lru_cache(maxsize=128)
def _counted(plan: Plan, *, prepare: bool) -> Tally:
    return Tally(plan, fresh_nodes(plan, prepare=prepare))
