"""The pools, locks and rate limits of a run's steps: asks for places, starts steps that have them, frees them.

A node holds its places from its admission until its attempt and its sub-runs have ended. Each retry asks again.
"""

from collections.abc import Iterable

from services.scheduler.core.decision import Acquire, Ignored, Release
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Admit
from services.scheduler.core.model import ADMITTED, WAITS, Node
from services.scheduler.core.plan import STEP, Plan
from shared.admission.pools import Claim

__all__ = ["admitted", "asks_again", "follow", "must_ask"]


def must_ask(draft: Draft, node: Node) -> bool:
    """Whether the node needs places before it starts and has none: then it waits for them, and ``follow`` asks."""
    if node.admission or not _claims(draft.run.plan, node):
        return False
    draft.set_node(node.idx, admission=WAITS)
    return True


def admitted(draft: Draft, message: Admit) -> Ignored | None:
    """Record that all pools of the node have admitted it; it starts as soon as nothing else prevents that."""
    node = draft.nodes[message.node]
    if node.admission != WAITS:
        return Ignored("it does not wait for places")
    draft.set_node(message.node, admission=ADMITTED)
    return None


def asks_again(draft: Draft, idx: int) -> Ignored:
    """Ask again for the node's places, because a place of a rate limit may be free now."""
    node = draft.nodes[idx]
    if node.admission != WAITS:
        return Ignored("it does not wait for places")
    return Ignored("asks again", (Acquire(idx, _claims(draft.run.plan, node)),))


def follow(draft: Draft, changes: Iterable[tuple[Node, Node]]) -> None:
    """Add the effects that ask for places and free places. ``changes``: changed nodes before and after the decision."""
    for old, new in changes:
        if not (claims := _claims(draft.run.plan, new)):
            continue
        asked, asks = old.admission == WAITS, new.admission == WAITS
        if (asked or _holds(old)) and not (_holds(new) or (asked and asks)):
            draft.effects.append(Release(new.idx, claims))
        if asks and not asked:
            draft.effects.append(Acquire(new.idx, claims))


def _claims(plan: Plan, node: Node) -> tuple[Claim, ...]:
    return plan.claims.get(node.idx, ()) if node.kind == STEP else ()


def _holds(node: Node) -> bool:
    """Whether the node has its places: from its admission to the end of its attempt and of its sub-runs."""
    return node.admission == ADMITTED or node.attempt is not None or node.calls
