"""Runs that come from no stored dag, runs made anew from another's snapshot, and steps of sub runs."""

from typing import Any

from services.scheduler.commands.checks import (
    MaxRunReached,
    check_dag_name,
    check_free,
    check_workers,
    find,
    find_below,
    tell_key,
)
from services.scheduler.core.messages import Begin, PatchNode
from services.scheduler.core.plan import Plan
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.creation import afresh, new_run
from services.scheduler.deciding.plans import Plans, spec_hash
from shared.admission.runs import HIGH, LOW
from shared.contracts.commands.runs import PatchSubStep, RescheduleRun, RunCommand, StartInline
from shared.errors import InvalidInput
from shared.language.load import load
from shared.language.snapshot import make_snapshot
from shared.status import NodeStatus

__all__ = ["carry_out_inline"]


def carry_out_inline(batch: Batch, plans: Plans, command: RunCommand) -> dict[str, Any]:
    """Carry out one of these commands within ``batch``'s transaction."""
    match command:
        case StartInline():
            return _start(batch, plans, command)
        case RescheduleRun():
            return _reschedule(batch, command)
        case PatchSubStep():
            return _patch_sub_step(batch, command)
        case _:
            raise InvalidInput(f"{type(command).__name__} is not a command about runs")


def _start(batch: Batch, plans: Plans, command: StartInline) -> dict[str, Any]:
    if not command.spec.strip():
        raise InvalidInput("spec: must not be empty")
    text = make_snapshot(command.spec, plans.base)
    loaded = load(text, dag_name=command.dag_name)
    dag = loaded.dag
    if loaded.errors or dag is None:
        raise InvalidInput("; ".join(str(issue) for issue in loaded.errors) or "spec: holds no DAG")
    if not dag.name:
        raise InvalidInput("name: neither the request nor the spec names the DAG")
    check_dag_name(dag.name)
    if command.singleton:
        _check_none_active(batch, dag.name)
    check_free(batch, dag.name, command.dag_run_id)
    check_workers(batch, dag)
    text_hash = spec_hash(text)
    batch.tx.dags.add_specs({text_hash: text}, batch.now)
    # The plan is kept by the text alone: every later load of this run finds the same one.
    plan: Plan = plans.remember(text, "")
    run = new_run(
        plan,
        dag_name=dag.name,
        dag_run_id=command.dag_run_id,
        given=command.params,
        queue=command.queue,
        queued=command.queued,
        now=batch.now,
    )
    batch.add(run, spec_hash=text_hash, file_name=None, priority=HIGH if command.priority == "high" else LOW)
    if not command.queued:
        batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": command.dag_run_id, "name": dag.name}


def _reschedule(batch: Batch, command: RescheduleRun) -> dict[str, Any]:
    key = find(batch, command.dag_name, command.dag_run_id)
    source = batch.runs.get(key)
    assert source is not None  # noqa: S101 - find raises otherwise
    name = command.new_dag_name or source.dag_name
    check_dag_name(name)
    if command.singleton:
        _check_none_active(batch, name)
    check_free(batch, name, command.new_run_id)
    run = afresh(
        source,
        dag_name=name,
        dag_run_id=command.new_run_id,
        queue=source.queue if name == source.dag_name else None,
        queued=False,
        now=batch.now,
    )
    text_hash, file_name = batch.runs.origin(key)
    batch.add(run, spec_hash=text_hash, file_name=file_name)
    batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": command.new_run_id, "queued": False, "name": name}


def _check_none_active(batch: Batch, dag_name: str) -> None:
    active = batch.tx.runs.count_active(dag_name)
    if active.get("running") or active.get("queued"):
        raise MaxRunReached(f"DAG {dag_name} is running or queued already (singleton)")


def _patch_sub_step(batch: Batch, command: PatchSubStep) -> dict[str, Any]:
    root = find(batch, command.dag_name, command.dag_run_id)
    key = find_below(batch, root, command.sub_run_id)
    try:
        status = NodeStatus(command.status)
    except ValueError as error:
        raise InvalidInput(f"status: {command.status!r} is not a step status") from error
    return tell_key(batch, key, PatchNode(command.step_name, status, command.by))
