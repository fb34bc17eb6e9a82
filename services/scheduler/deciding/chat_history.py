"""Adds to the task of a chat step the messages of the chat steps before it, which workers reported as progress."""

from collections.abc import Callable
from dataclasses import replace

from services.scheduler.core.decision import Dispatch
from services.scheduler.core.model import Run
from services.scheduler.core.plan import STEP, Plan
from shared.store.writes.transaction import Transaction

__all__ = ["with_chat_history"]


def with_chat_history(tx: Transaction, run: Run, dispatch: Dispatch) -> Dispatch:
    """Return the dispatch of a chat step with the messages before it. Other dispatches are returned unchanged.

    A conversation goes on from a chat step to the chat steps that depend on it directly. Another kind of step between
    them ends it, and so does a chat step without an answer, as in Dagu.
    """
    task = dispatch.task
    if task.step.type != "chat" or task.kind != STEP:
        return dispatch
    steps = run.plan.dag.steps
    before = _before(run.plan, task.node, lambda node: steps[node].type == "chat")
    messages = tx.progress.messages(run.run_key, before) if before else {}
    if not messages:
        return dispatch
    earlier = [message for node in _before(run.plan, task.node, messages.__contains__) for message in messages[node]]
    parents = [message for node in run.plan.depends[task.node] for message in messages.get(node, ())]
    system = [message for message in parents if message["role"] == "system"]
    history = [*system[:1], *(message for message in earlier if message["role"] != "system")]
    return replace(dispatch, task=task.model_copy(update={"options": {**task.options, "history": history}}))


def _before(plan: Plan, node: int, counts: Callable[[int], bool]) -> list[int]:
    """Return the steps before ``node`` that it depends on through steps that count only: each after those before it.

    Where several come next, the order is that of ``depends``. There can be 10,000 steps, so nothing is recursive.
    """
    found: list[int] = []
    seen = {node}
    path = [(node, iter(plan.depends[node]))]
    while path:
        current, parents = path[-1]
        parent = next((one for one in parents if one not in seen and counts(one)), None)
        if parent is None:
            path.pop()
            found.append(current)
        else:
            seen.add(parent)
            path.append((parent, iter(plan.depends[parent])))
    return found[:-1]
