"""Handlers of the commands about runs: start, stop, dequeue, remove, retry, reschedule, and setting a node's status."""

from typing import Any

from services.scheduler.commands.checks import (
    AlreadyRunning,
    NotRunning,
    RefusedByCore,
    apply_to_run,
    check_dag_name,
    check_new_run_id,
    check_none_active,
    check_run_config,
    check_run_id,
    check_singleton,
    find_run,
    find_sub_run,
    node_status,
)
from services.scheduler.commands.handler import Handlers
from services.scheduler.core.messages import Begin, Dequeue, PatchNode, Retry, Stop
from services.scheduler.core.run_attempts import refusal
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.creation import new_run, rerun, retry_as_new_run
from services.scheduler.deciding.plans import SnapshotSource, spec_hash
from shared.admission.runs import HIGH, LOW
from shared.contracts import commands as c
from shared.contracts.commands import BEGUN
from shared.errors import InvalidInput, NotFound
from shared.language.snapshot import make_snapshot
from shared.status import NodeStatus, RunStatus
from shared.workspaces import plain_name, stored_name

__all__ = ["HANDLERS"]


def _start_run(batch: Batch, command: c.StartRun) -> dict[str, Any]:
    """Start a run of a stored DAG, or queue it."""
    stored = batch.runs.dag(command.file_name)
    if stored is None:
        raise NotFound(f"There is no DAG {command.file_name!r}")
    if stored.errors:
        raise InvalidInput("; ".join(stored.errors))
    plans = batch.plans
    text_hash = plans.store_snapshot(batch.tx, SnapshotSource(stored.spec_hash), batch.now, batch.after.snapshots)
    plan = plans.get(batch.tx, (text_hash, command.file_name))
    if plan.errors:
        raise InvalidInput("; ".join(plan.errors))
    name = command.dag_name or stored_name(command.workspace, plan.dag.name)
    check_dag_name(name)
    queued = isinstance(command, c.EnqueueRun)
    if command.singleton:
        check_singleton(batch, name, queued=queued)
    check_new_run_id(batch, name, command.dag_run_id)
    check_run_config(plan.dag, **_chosen(command))
    run = new_run(
        plan,
        run_key=batch.new_run_key(),
        dag_name=name,
        dag_run_id=command.dag_run_id,
        given=command.params,
        queue=command.queue if isinstance(command, c.EnqueueRun) else None,
        queued=queued,
        now=batch.now,
        priority=_priority(command) if isinstance(command, c.EnqueueRun) else LOW,
    )
    batch.add(run, spec_hash=text_hash, file_name=command.file_name, by=command.by)
    result: dict[str, Any] = {"dagRunId": command.dag_run_id}
    if not queued:
        batch.apply(run.run_key, Begin(command.by))
        result[BEGUN] = {"runKey": run.run_key, "dagName": name}
    return result


def _start_inline(batch: Batch, command: c.StartInline) -> dict[str, Any]:
    if not command.spec.strip():
        raise InvalidInput("spec: must not be empty")
    text = make_snapshot(command.spec, batch.plans.base)
    loaded = batch.plans.load(text, dag_name=plain_name(command.dag_name) if command.dag_name else None)
    dag = loaded.dag
    if loaded.errors or dag is None:
        raise InvalidInput("; ".join(str(issue) for issue in loaded.errors) or "spec: contains no DAG")
    if not dag.name:
        raise InvalidInput("name: is missing in the request and in the spec; set one of them")
    name = stored_name(command.workspace, dag.name)
    check_dag_name(name)
    if command.singleton:
        check_none_active(batch, name)
    check_new_run_id(batch, name, command.dag_run_id)
    check_run_config(dag, **_chosen(command))
    text_hash = spec_hash(text)
    batch.tx.dags.add_specs({text_hash: text}, batch.now)
    # The plan is cached without a file name, as every later load of this run asks for it.
    plan = batch.plans.add_stored(text, "")
    run = new_run(
        plan,
        run_key=batch.new_run_key(),
        dag_name=name,
        dag_run_id=command.dag_run_id,
        given=command.params,
        queue=command.queue,
        queued=command.queued,
        now=batch.now,
        priority=_priority(command),
    )
    batch.add(run, spec_hash=text_hash, file_name=None, by=command.by)
    if not command.queued:
        batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": command.dag_run_id, "name": name}


def _chosen(command: c.StartRun | c.StartInline) -> dict[str, Any]:
    return {"own_run_id": command.own_run_id, "own_params": command.params if command.own_params else None}


def _priority(command: c.EnqueueRun | c.StartInline) -> int:
    return HIGH if command.priority == "high" else LOW


def _stop(batch: Batch, command: c.StopRun) -> dict[str, Any]:
    run = find_run(batch, command.dag_name, command.dag_run_id)
    if run.status is RunStatus.WAITING:
        # The core could stop it, as it does when the parent run is stopped. But a user who stops a waiting run most
        # likely wants to approve or reject it, so the API refuses.
        waits = any(node.status is NodeStatus.WAITING for node in run.nodes)
        way_out = "waits for approval: approve or reject it" if waits else "waits for a retry"
        raise NotRunning(f"Run {run.dag_run_id!r} {way_out}")
    apply_to_run(batch, run, Stop(command.by))
    return {}


def _dequeue(batch: Batch, command: c.DequeueRun) -> dict[str, Any]:
    apply_to_run(batch, find_run(batch, command.dag_name, command.dag_run_id), Dequeue(command.by))
    return {}


def _remove(batch: Batch, command: c.RemoveRun) -> dict[str, Any]:
    run = find_run(batch, command.dag_name, command.dag_run_id)
    if run.status.active:
        raise AlreadyRunning(f"Run {run.dag_run_id!r} has not ended: stop or dequeue it first")
    batch.runs.entry(run.run_key).deleted = True
    return {}


def _retry(batch: Batch, command: c.RetryRun) -> dict[str, Any]:
    source = find_run(batch, command.dag_name, command.dag_run_id)
    target, step = command.new_run_id or source.dag_run_id, command.step_name or ""
    if batch.runs.key_of(command.dag_name, target) is not None:
        run = find_run(batch, command.dag_name, target)
        # First: a run that cannot be retried must not count.
        if (refused := refusal(run, step)) is not None:
            raise RefusedByCore(refused)
        batch.worker_pools.check(run.dag_name, run.plan.dag.worker_selector)
        batch.quotas.take_run(command.workspace, queued=False)
        apply_to_run(batch, run, Retry(command.by, step))
        return {"dagRunId": target}
    check_run_id(target)
    refused = refusal(source, step)
    if refused is not None:
        raise RefusedByCore(refused)
    check_run_config(source.plan.dag, own_run_id=True)
    run = retry_as_new_run(source, run_key=batch.new_run_key(), dag_run_id=target, now=batch.now, step=step)
    text_hash, file_name = batch.runs.origin(source.run_key)
    batch.add(run, spec_hash=text_hash, file_name=file_name, by=command.by)
    batch.apply(run.run_key, Begin(command.by, retries=source.dag_run_id))
    return {"dagRunId": target}


def _reschedule(batch: Batch, command: c.RescheduleRun) -> dict[str, Any]:
    source = find_run(batch, command.dag_name, command.dag_run_id)
    name = command.new_dag_name or source.dag_name
    check_dag_name(name)
    if command.singleton:
        check_none_active(batch, name)
    check_new_run_id(batch, name, command.new_run_id)
    check_run_config(source.plan.dag, own_run_id=command.own_run_id)
    run = rerun(
        source,
        run_key=batch.new_run_key(),
        dag_name=name,
        dag_run_id=command.new_run_id,
        queued=False,
        now=batch.now,
    )
    text_hash, file_name = batch.runs.origin(source.run_key)
    batch.add(run, spec_hash=text_hash, file_name=file_name, by=command.by)
    batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": command.new_run_id, "queued": False, "name": name}


def _patch_step(batch: Batch, command: c.PatchStep) -> dict[str, Any]:
    status = node_status(command.status)
    run = find_run(batch, command.dag_name, command.dag_run_id)
    apply_to_run(batch, run, PatchNode(command.step_name, status, command.by))
    return {}


def _patch_sub_step(batch: Batch, command: c.PatchSubStep) -> dict[str, Any]:
    root = find_run(batch, command.dag_name, command.dag_run_id)
    run = find_sub_run(batch, root, command.sub_run_id)
    apply_to_run(batch, run, PatchNode(command.step_name, node_status(command.status), command.by))
    return {}


HANDLERS: Handlers = {
    c.StartRun: _start_run,
    c.EnqueueRun: _start_run,
    c.StartInline: _start_inline,
    c.StopRun: _stop,
    c.DequeueRun: _dequeue,
    c.RemoveRun: _remove,
    c.RetryRun: _retry,
    c.RescheduleRun: _reschedule,
    c.PatchStep: _patch_step,
    c.PatchSubStep: _patch_sub_step,
}
