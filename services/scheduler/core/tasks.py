"""Makes the task of a node's next attempt."""

from collections.abc import Iterable
from datetime import UTC
from typing import Any

from services.scheduler.core.draft import Draft
from services.scheduler.core.model import Node, Run
from services.scheduler.core.plan import FOLLOW_UP, PREPARE, STEP, Plan
from shared.contracts.tasks import FollowingStep, StepRef, Task
from shared.language.expansion.resolve import params_from_outside
from shared.language.expansion.sealed_text import is_sealed
from shared.language.expansion.secret_params import hidden_params
from shared.language.model import Secret, Step
from shared.language.steps.executor_types import CONTAINER_TYPES
from shared.status import NodeStatus

__all__ = ["MOST_FOLLOWING", "make_following", "make_task"]

MOST_FOLLOWING = 8
"""How many steps of a chain a worker gets besides the one that it is to run. The next task has the next ones."""


def make_task(draft: Draft, idx: int, token: str, worker_id: str | None, run_status: str = "") -> Task:
    """Return the task of the attempt ``token`` of node ``idx``: everything that a worker needs to run it.

    ``worker_id`` is the worker that it is addressed to, if any. ``run_status`` is the value of ``DAG_RUN_STATUS`` in
    handlers; empty for steps.
    """
    run, nodes = draft.run, draft.nodes
    plan, dag, node = run.plan, run.plan.dag, nodes[idx]
    if node.kind in (PREPARE, FOLLOW_UP):
        step = Step(name=node.name)
    else:
        step = plan.steps[idx]
        if node.number > 1 and step.preconditions:
            # Preconditions are checked once: a retry or a repetition does not check them again.
            step = step.model_copy(update={"preconditions": ()})
    return Task(
        token=token,
        run_key=run.run_key,
        node=idx,
        kind=node.kind,
        number=node.number,
        run_attempt=run.run_attempt,
        dispatched_at=draft.now,
        incarnation=(run.incarnation or "") if worker_id is not None else "",
        dag_name=run.dag_name,
        dag_run_id=run.dag_run_id,
        root_dag_name=run.root_dag_name,
        root_dag_run_id=run.root_dag_run_id,
        step=step,
        env=run.env,
        params=run.params,
        params_json=run.params_json,
        params_given=bool(run.given.strip()),
        # If the whole text is sealed, only the worker sees the names in it: then it trusts no param.
        params_outside=None if is_sealed(run.given) else params_from_outside(dag, run.given),
        hidden_params=hidden_params(run.asked_as),
        outputs=_outputs(draft, node),
        refs=_refs(run, nodes, node),
        engine_env=_engine_env(run, nodes, run_status),
        dotenv=dag.dotenv,
        secrets=_secrets(run, step),
        file_name=plan.file_name,
        called_from=run.called_from,
        working_dir=dag.working_dir,
        shell=dag.shell,
        log_dir=dag.log_dir,
        log_output=step.log_output or dag.log_output,
        max_output_bytes=dag.max_output_size,
        timeout_s=step.timeout_sec,
        stop_grace_s=dag.max_clean_up_time_sec,
        options=_options(run, node, step),
    )


def make_following(run: Run, nodes: list[Node], idx: int, token: str, run_status: str) -> FollowingStep:
    """Return what a worker needs to run a node after the one before it in a chain, besides that one's task."""
    node, step = nodes[idx], run.plan.steps[idx]
    return FollowingStep(
        token=token,
        node=idx,
        kind=node.kind,
        step=step,
        engine_env=_engine_env(run, nodes, run_status),
        secrets=_secrets(run, step),
        log_output=step.log_output or run.plan.dag.log_output,
        timeout_s=step.timeout_sec,
        options=_options(run, node, step),
    )


def _secrets(run: Run, step: Step) -> tuple[Secret, ...]:
    return tuple(each for each in run.plan.dag.secrets if step.secrets is None or each.name in step.secrets)


def _outputs(draft: Draft, node: Node) -> tuple[tuple[str, str], ...]:
    """Return the outputs that the node may use; of equal names, the last one counts.

    Handlers and follow-ups get the outputs of all steps, in the order of the spec. A step that a condition repeats gets
    that of its execution before, as in Dagu. It counts least, so that a reference means the same in every execution.
    """
    found = draft.tally.with_outputs
    if not found:
        return ()
    if node.kind != STEP:
        sources: Iterable[int] = sorted(found)
    else:
        own = [node.idx] if node.done_count and _repeated_by_condition(draft.run.plan.steps[node.idx]) else []
        sources = [source for source in (*own, *reversed(draft.run.plan.ancestors(node.idx))) if source in found]
    return tuple(item for source in sources for item in draft.nodes[source].outputs.items())


def _repeated_by_condition(step: Step) -> bool:
    return step.repeat_policy is not None and step.repeat_policy.condition is not None


_BLOCKS = {
    "mail": ("smtp",),
    "ssh": ("ssh",),
    "chat": ("llm",),
    **dict.fromkeys(CONTAINER_TYPES, ("container", "registry_auths")),
}
"""By step type: the fields of the DAG that are defaults for steps of that type."""


def _options(run: Run, node: Node, step: Step) -> dict[str, Any]:
    dag = run.plan.dag
    if node.kind == PREPARE:
        return {PREPARE: {"dag": dag.model_dump(mode="json"), "given": run.given}}
    names = (*_BLOCKS.get(step.type, ()), *(("otel",) if (dag.otel or {}).get("enabled") else ()))
    return {name: value for name in names if (value := getattr(dag, name)) is not None}


def _engine_env(run: Run, nodes: list[Node], run_status: str) -> tuple[tuple[str, str], ...]:
    """Return the run's scheduled time, if it has one, and what only handlers get: its status and steps that wait."""
    found: list[tuple[str, str]] = []
    if run.scheduled_at is not None:
        # The name that Dagu intends for it.
        found.append(("DAG_RUN_SCHEDULE_TIME", f"{run.scheduled_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"))
    if run_status:
        found.append(("DAG_RUN_STATUS", run_status))
        if waiting := ",".join(node.name for node in nodes if node.status is NodeStatus.WAITING):
            found.append(("DAG_WAITING_STEPS", waiting))
    return tuple(found)


def _refs(run: Run, nodes: list[Node], node: Node) -> dict[str, StepRef]:
    """Return what the node may read of steps with an ``id``; before they run, their exit code is 0, as in Dagu.

    The task of a step has only those to which the step, or one that follows it in its chain, refers. Otherwise tasks
    would grow with the number of steps that have an id.
    """
    ids = run.plan.ids
    named = _named(run.plan, node.idx) if node.kind == STEP and ids else ids.keys()
    return {step_id: _ref(run.plan.steps[ids[step_id]], nodes[ids[step_id]]) for step_id in sorted(named)}


def _named(plan: Plan, position: int) -> set[str]:
    named = {*plan.refers_to(position)}
    for _ in range(MOST_FOLLOWING):
        following = plan.next_in_chain.get(position)
        if following is None:
            break
        position = following
        named |= plan.refers_to(position)
    return named


def _ref(step: Step, node: Node) -> StepRef:
    if node.status is NodeStatus.NOT_STARTED:
        return StepRef()
    return StepRef(
        exit_code=node.exit_code,
        stdout=node.stdout,
        stderr=node.stderr,
        output=node.outputs.get(step.output.name) if step.output else None,
    )
