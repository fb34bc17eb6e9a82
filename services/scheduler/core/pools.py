"""The pools, locks and rate limits of a run's steps: asks for places, starts steps that have them, frees them.

A node holds its places from its admission until its attempt and its sub-runs have ended. Each retry asks again.
"""

from collections.abc import Iterable
from dataclasses import replace

from services.scheduler.core.decision import Acquire, Ignored, Release
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import Admit
from services.scheduler.core.model import ADMITTED, WAITS, Node, Run
from services.scheduler.core.plan import STEP
from shared.admission.pools import Claim, PoolKey
from shared.workspaces import DEFAULT, stored_name, workspace_of

__all__ = ["acquire_and_release", "admitted", "ask_again", "wait_for_places"]


def wait_for_places(draft: Draft, node: Node) -> bool:
    """Let the node wait for the places that it needs before it starts; return whether it needs any.

    ``acquire_and_release`` asks for them at the end of the decision.
    """
    if node.admission or not _claims(draft.run, node):
        return False
    draft.set_node(node.idx, admission=WAITS)
    return True


def admitted(draft: Draft, message: Admit) -> Ignored | None:
    """Record that all pools of the node have admitted it; it starts as soon as nothing else prevents that."""
    node = draft.nodes[message.node]
    if node.admission != WAITS:
        return Ignored("it does not wait for places")
    # A retry that asked was due, even if this scheduler has an earlier time than the one that let it ask.
    draft.set_node(message.node, admission=ADMITTED, retry_at=None)
    return None


def ask_again(draft: Draft, idx: int) -> Ignored:
    """Ask again for the node's places, because a place of a rate limit may be free now."""
    node = draft.nodes[idx]
    if node.admission != WAITS:
        return Ignored("it does not wait for places")
    return Ignored("asks again", (Acquire(idx, _claims(draft.run, node)),))


def acquire_and_release(draft: Draft, changes: Iterable[tuple[Node, Node]]) -> None:
    """Add the effects that ask for places and free places. ``changes``: changed nodes before and after the decision."""
    for old, new in changes:
        if not (claims := _claims(draft.run, new)):
            continue
        asked, asks = old.admission == WAITS, new.admission == WAITS
        if (asked or _holds(old)) and not (_holds(new) or (asked and asks)):
            draft.effects.append(Release(new.idx, claims))
        if asks and not asked:
            draft.effects.append(Acquire(new.idx, claims))


def _claims(run: Run, node: Node) -> tuple[Claim, ...]:
    """Return the places that a node needs, in pools of the workspace of its run."""
    claims = run.plan.claims.get(node.idx, ()) if node.kind == STEP else ()
    workspace = workspace_of(run.dag_name) if claims else DEFAULT
    if workspace == DEFAULT:
        return claims
    return tuple(replace(each, key=PoolKey(each.key.kind, stored_name(workspace, each.key.name))) for each in claims)


def _holds(node: Node) -> bool:
    """Whether the node has its places: from its admission to the end of its attempt and of its sub-runs."""
    return node.admission == ADMITTED or node.attempt is not None or node.calls
