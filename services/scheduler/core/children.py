"""Sub-runs of a node: which are started, in what order, and how their outcomes decide the node's outcome.

Source: docs/workflow-language.md#runs-that-call-runs.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from services.scheduler.core.child_states import PENDING, UNDER_WAY, WAITING, Child, Children
from services.scheduler.core.conclude import End, conclude
from services.scheduler.core.decision import AddLog, Dispatch, Ignored, StartChild, StopChild, WakeAt
from services.scheduler.core.draft import Draft
from services.scheduler.core.messages import ChildRefused, ChildrenSeen
from services.scheduler.core.model import Node, Run
from services.scheduler.core.plan import STEP
from services.scheduler.core.tasks import make_task
from shared.base58 import base58
from shared.contracts.events import TIMED_OUT_CODE, AttemptFinished, ChildCall
from shared.contracts.tasks import CallResult
from shared.language.expansion.expand import is_literal, literal_ends
from shared.language.model import Step
from shared.language.steps.parallel import count_error
from shared.status import NodeStatus, RunStatus, StopReason, TimerKind

__all__ = [
    "STOP_AGAIN",
    "call",
    "child_run_id",
    "is_stopping",
    "only_approvals_left",
    "out_of_time",
    "printed",
    "refused",
    "seen",
    "stop_children",
    "stops",
    "why_impossible",
]

STOP_AGAIN = timedelta(seconds=10)
"""After which time what is out of time is stopped again, if it has not ended."""
_FAILED = frozenset({"failed", "timed_out"})
_GOOD = frozenset(str(status) for status in RunStatus if status.successful)


def child_run_id(parent_run_id: str, step: str, params: str, repetition: str = "") -> str:
    """Return the id of a sub-run. The same call of the same run always gives the same id.

    ``repetition`` distinguishes the executions of a repeated step; it is empty for the first execution.
    """
    text = f"{parent_run_id}:{step}:{params}" + (f":{repetition}" if repetition else "")
    return base58(hashlib.sha256(text.encode()).digest())


def why_impossible(step: Step, calls: Sequence[ChildCall]) -> str:
    """Return why a step cannot have made these calls; an empty text if it can.

    The key of the step's worker may be stolen, and the sub-run may run on workers that the key is not for.
    """
    if not step.call:
        return "its worker reports calls of DAGs, but the step calls none"
    if step.parallel is None and len(calls) > 1:
        return f"its worker reports {len(calls)} calls of DAGs, but the step makes one"
    if step.parallel is not None and (wrong := count_error(len(calls))):
        return wrong
    if others := [one.dag for one in calls if not _may_call(step.call, one.dag)]:
        return f"its worker reports a call of {min(others)[:80]!r}, but the step calls {step.call!r}"
    return ""


def _may_call(call: str, name: str) -> bool:
    """Return whether ``call`` can be the name of this DAG: no variable in it leaves the folder that is before it."""
    if is_literal(call):
        return name == call.strip()
    begin, end = (each.strip() for each in literal_ends(call))
    if not name.startswith(begin) or not name.endswith(end) or len(name) < len(begin) + len(end):
        return False
    return not begin or name.split("/").count("..") <= call.split("/").count("..")


def call(draft: Draft, idx: int, token: str, calls: Sequence[ChildCall]) -> None:
    """Record the calls of a node, as a worker evaluated them, and start as many sub-runs as may run together."""
    node, step = draft.nodes[idx], draft.run.plan.steps[idx]
    repeated = step.repeat_policy is not None and node.done_count > 0
    salt = hashlib.sha256(token.encode()).hexdigest()[:16] if repeated else ""
    found: dict[str, Child] = {}
    for one in calls:
        run_id = child_run_id(draft.run.dag_run_id, step.name, one.params, salt)
        found.setdefault(run_id, Child(run_id, one.dag, one.shown or one.params, one.given, folder=one.folder))
    draft.set_node(idx, children=Children(found.values()), call_token=token, retry_at=None, error="")
    draft.note(idx, f"calls {len(found)} run{'s' * (len(found) != 1)}")
    if step.timeout_sec > 0:
        draft.effects.append(WakeAt(idx, TimerKind.TIMEOUT, draft.now + timedelta(seconds=step.timeout_sec)))
    _start_pending(draft, idx)
    if is_stopping(draft.run, draft.nodes[idx]):
        _finish(draft, idx, ChildrenSeen(idx, {}, {}))


def out_of_time(draft: Draft, idx: int) -> Ignored | None:
    """Enforce the step's time limit: stop its sub-runs. The step fails when they have ended."""
    node, limit_s = draft.nodes[idx], draft.run.plan.steps[idx].timeout_sec
    if node.calls and node.error and (again := stops(node)):
        # A sub-run's first stop lets a repeated step finish. So it is stopped again, until it has ended.
        return Ignored("out of time already", (*again, WakeAt(idx, TimerKind.TIMEOUT, draft.now + STOP_AGAIN)))
    if not node.calls or is_stopping(draft.run, node):
        return Ignored("no time limit to enforce")
    due_at = (node.started_at or draft.now) + timedelta(seconds=limit_s)
    if draft.now < due_at:
        return Ignored("not due", (WakeAt(idx, TimerKind.TIMEOUT, due_at),))
    draft.set_node(idx, error=f"step timed out (timeout: {limit_s:g}s): context deadline exceeded")
    draft.note(idx, draft.nodes[idx].error)
    draft.effects.append(WakeAt(idx, TimerKind.TIMEOUT, draft.now + STOP_AGAIN))
    stop_children(draft, node)
    _wait_or_finish(draft, draft.nodes[idx], ChildrenSeen(idx, {}))
    return None


def refused(draft: Draft, message: ChildRefused) -> Ignored | None:
    """Record that a sub-run could not be created; the other sub-runs continue."""
    node = draft.nodes[message.node]
    if not _update(draft, node, {message.run_id: str(RunStatus.FAILED)}, message.error):
        return Ignored("no such child is awaited")
    _start_pending(draft, message.node)
    return None


def seen(draft: Draft, message: ChildrenSeen) -> Ignored | None:
    """Record the states of sub-runs; then start more of them, set the node to ``waiting``, or conclude the node.

    While the run itself is ``waiting``, only the states are recorded. The rest happens when the run continues.
    """
    before = draft.nodes[message.node]
    if not before.calls:
        return Ignored("no children are awaited")
    _update(draft, before, message.states)
    if draft.run.status is RunStatus.RUNNING:
        _start_pending(draft, message.node)
        _wait_or_finish(draft, draft.nodes[message.node], message)
    return None if draft.nodes[message.node] != before else Ignored("nothing new about children")


def _wait_or_finish(draft: Draft, node: Node, message: ChildrenSeen) -> None:
    stopping = is_stopping(draft.run, node)
    waits = only_approvals_left(node) and not stopping
    if waits and node.status is NodeStatus.RUNNING:
        draft.move(node.idx, NodeStatus.WAITING, "its sub-runs wait for approval")
    elif not waits and node.status is NodeStatus.WAITING:
        draft.move(node.idx, NodeStatus.RUNNING, "its sub-runs continue")
    goes_on = node.children.has(UNDER_WAY, WAITING if stopping else PENDING)
    if not waits and not goes_on and message.outputs is not None:
        _finish(draft, node.idx, message)


def is_stopping(run: Run, node: Node) -> bool:
    """Whether no more sub-runs of the node are started: it is out of time, or the run stops and it is no handler."""
    return bool(node.error or (run.stop_reason and node.kind == STEP))


def only_approvals_left(node: Node) -> bool:
    """Whether at least one sub-run of the node waits for approval, and all its other sub-runs have succeeded."""
    return node.children.has(WAITING) and node.children.has_only(WAITING, *_GOOD)


def stop_children(draft: Draft, node: Node) -> None:
    """Stop the sub-runs of a node that have not ended, because their results are no longer needed."""
    draft.effects.extend(stops(node))


def stops(node: Node) -> list[StopChild]:
    """Return what stops the sub-runs of a node that have not ended."""
    return [StopChild(child.run_id) for child in node.children.having(UNDER_WAY, WAITING)]


def _update(draft: Draft, node: Node, states: Mapping[str, str], error: str = "") -> bool:
    known = [child for child in map(node.children.get, states) if child is not None]
    open_ones = [child for child in known if child.state in {UNDER_WAY, WAITING}]
    news = [
        new
        for child in node.children.in_order(open_ones)
        if (new := replace(child, state=states[child.run_id], error=error)) != child
    ]
    if not news:
        return False
    draft.set_node(node.idx, children=node.children.replaced(news))
    for new in news:
        state = "continues" if new.state == UNDER_WAY else new.error or new.state
        draft.note(node.idx, f"sub-run {new.run_id} of {new.dag}: {state}")
    return True


def _start_pending(draft: Draft, idx: int) -> None:
    """Start as many pending sub-runs as may run together."""
    if is_stopping(draft.run, draft.nodes[idx]):
        return
    step, children = draft.run.plan.steps[idx], draft.nodes[idx].children
    room = (step.parallel.max_concurrent if step.parallel else 1) - children.number_of(UNDER_WAY)
    asked = children.first(PENDING, max(room, 0))
    if not asked:
        return
    selector = tuple(sorted(step.worker_selector.items()))
    draft.effects.extend(
        StartChild(idx, child.run_id, child.dag, child.given, selector, child.folder) for child in asked
    )
    draft.set_node(idx, children=children.replaced(replace(child, state=UNDER_WAY) for child in asked))


def _finish(draft: Draft, idx: int, message: ChildrenSeen) -> None:
    node, step, outputs = draft.nodes[idx], draft.run.plan.steps[idx], message.outputs or {}
    # If one sub-run failed, others may still wait for an approval that is of no use any more.
    stop_children(draft, node)
    results = [
        {
            # The DAG's own name, even if the step called it by its file name.
            "name": message.names.get(child.run_id, child.dag),
            "dagRunId": child.run_id,
            # Left out if the run has no params.
            **({"params": params} if (params := message.params.get(child.run_id, child.params)) else {}),
            "outputs": dict(sorted(outputs.get(child.run_id, {}).items())),
            "status": child.state,
        }
        for child in node.children
        if child.state != PENDING
    ]
    text = json.dumps(_shape(step, results), indent=2, ensure_ascii=False) + "\n"
    end = _end(draft, node, step)
    # The results may contain secrets that were passed as params, and only a worker can mask them.
    wanted = _is_wanted_on_worker(step) or bool(draft.run.plan.dag.secrets)
    if node.kind == STEP and wanted and not draft.run.stop_reason:
        _print(draft, idx, text, end)
        return
    draft.effects.append(AddLog(node.call_token, idx, draft.run.run_attempt, node.number, text))
    captured = {}
    if step.output is not None and len(text.encode()) > draft.run.plan.dag.max_output_size:
        limit = f"output exceeded maximum size limit of {draft.run.plan.dag.max_output_size} bytes"
        end = End("failed", 1, f"failed to capture output: {limit}", final=end.final)
    elif step.output is not None:
        captured = {step.output.name: text.strip()}
    draft.set_node(idx, outputs=captured, exit_code=end.exit_code, call_token="")
    conclude(draft, draft.nodes[idx], end, "scheduler", before=node.outputs)


def _is_wanted_on_worker(step: Step) -> bool:
    """Whether a worker must get the result: a step reads it as a file, or the spec evaluates an expression on it."""
    repeat, retry = step.repeat_policy, step.retry_policy
    return bool(
        step.id
        or step.stdout
        or step.stderr
        or step.continue_on.output
        or (repeat is not None and repeat.condition is not None)
        or (retry is not None and (isinstance(retry.limit, str) or isinstance(retry.interval_sec, str)))
    )


def _print(draft: Draft, idx: int, text: str, end: End) -> None:
    """Dispatch an attempt in which a worker prints the result like the output of a step; then the node ends.

    ``call_token`` stays until then: if the worker is lost, the next ``ChildrenSeen`` prints the result again.
    """
    worker_id = draft.run.worker_id
    token = draft.open_attempt(idx, worker_id)
    result = CallResult(text=text, failed=end.outcome in _FAILED, error=end.error)
    task = make_task(draft, idx, token, worker_id)
    task = task.model_copy(update={"options": {**task.options, "result": result.model_dump(mode="json")}})
    draft.effects.append(Dispatch(task, worker_id))


def printed(draft: Draft, event: AttemptFinished) -> End:
    """Return how a node ends after a worker printed its result: as its sub-runs did, unless printing failed."""
    end = _end(draft, draft.nodes[event.node], draft.run.plan.steps[event.node])
    if event.outcome != "succeeded" and end.outcome not in _FAILED | {"aborted"}:
        end = End(event.outcome, event.exit_code, event.error)
    return end


def _shape(step: Step, results: list[dict[str, Any]]) -> dict[str, Any]:
    if step.parallel is None:
        return results[0] if results else {}
    good = [result for result in results if result["status"] in _GOOD]
    return {
        "summary": {"total": len(results), "succeeded": len(good), "failed": len(results) - len(good)},
        "results": results,
        "outputs": [result["outputs"] for result in good],
    }


def _end(draft: Draft, node: Node, step: Step) -> End:
    states = [child.state for child in node.children]
    bad = [child for child in node.children if child.state not in _GOOD | {WAITING}]
    if draft.run.stop_reason and node.kind == STEP and (bad or draft.run.stop_reason is not StopReason.STOP):
        return End("aborted", -1, draft.run.stop_reason, final=True)
    if node.error:
        return End("timed_out", TIMED_OUT_CODE, node.error, final=True)
    if bad and step.parallel is not None:
        return End("failed", 1, f"parallel execution failed: {len(bad)} sub dag(s) failed{_details(bad)}")
    if bad:
        reason = f": {bad[0].error}" if bad[0].error else ""
        return End("failed", 1, f"sub DAG run {bad[0].run_id} failed with status: {bad[0].state}{reason}")
    if str(RunStatus.PARTIALLY_SUCCEEDED) in states:
        return End("partially_succeeded", 0, "")
    return End("succeeded", 0, "")


def _details(bad: list[Child]) -> str:
    errors = list(dict.fromkeys(child.error for child in bad if child.error))[:3]
    return f": {'; '.join(errors)}" if errors else ""
