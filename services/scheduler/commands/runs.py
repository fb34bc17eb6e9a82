"""Commands about a run of a stored dag: start, stop, retry, a step set by hand."""

from typing import Any

from services.scheduler.commands.checks import (
    NotRunning,
    RefusedByCore,
    check_edits,
    check_free,
    check_singleton,
    check_workers,
    find,
    tell,
    tell_key,
)
from services.scheduler.core.messages import Begin, PatchNode, Retry, Stop
from services.scheduler.core.plan import Plan
from services.scheduler.core.run_attempts import refusal
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.creation import again, new_run
from services.scheduler.deciding.plans import Plans
from shared.admission.runs import HIGH, LOW
from shared.contracts import commands as c
from shared.errors import InvalidInput, NotFound
from shared.ids import valid_dag_name, valid_run_id
from shared.status import NodeStatus, RunStatus

__all__ = ["patch_step", "retry_run", "start_run", "stop_run"]


def start_run(batch: Batch, plans: Plans, command: c.StartRun) -> dict[str, Any]:
    """Begin a run of a dag now, or queue it."""
    stored = batch.dag(command.file_name)
    if stored is None:
        raise NotFound(f"DAG {command.file_name} not found")
    if stored.errors:
        raise InvalidInput("; ".join(stored.errors))
    text_hash = plans.freeze(batch.tx, stored.spec_hash, batch.now, batch.after.frozen)
    plan: Plan = plans.get_many(batch.tx, [(text_hash, command.file_name)])[text_hash, command.file_name]
    if plan.errors:
        raise InvalidInput("; ".join(plan.errors))
    name = command.dag_name or plan.dag.name
    if not valid_dag_name(name):
        raise InvalidInput(f"dagName: {name!r} must be 1 to 40 letters, digits, dashes, dots or underscores")
    queued = isinstance(command, c.EnqueueRun)
    if command.singleton:
        check_singleton(batch, name, queued=queued)
    check_free(batch, name, command.dag_run_id)
    check_edits(plan.dag, command)
    check_workers(batch, plan.dag)
    run = new_run(
        plan,
        dag_name=name,
        dag_run_id=command.dag_run_id,
        given=command.params,
        queue=command.queue if isinstance(command, c.EnqueueRun) else None,
        queued=queued,
        now=batch.now,
    )
    urgent = isinstance(command, c.EnqueueRun) and command.priority == "high"
    batch.add(run, spec_hash=text_hash, file_name=command.file_name, priority=HIGH if urgent else LOW)
    if not queued:
        batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": command.dag_run_id}


def stop_run(batch: Batch, command: c.StopRun) -> dict[str, Any]:
    """Stop a run that runs."""
    key = find(batch, command.dag_name, command.dag_run_id)
    run = batch.run(key)
    if run is not None and run.status is RunStatus.WAITING:
        # It could be, and is where its parent is stopped: the API says that it waits for a word, not for a signal.
        raise NotRunning(f"DAG-run {run.dag_run_id} waits for approval, it is not running: approve or reject it")
    return tell_key(batch, key, Stop(command.by))


def patch_step(batch: Batch, command: c.PatchStep) -> dict[str, Any]:
    """Set a step's status by hand."""
    try:
        status = NodeStatus(command.status)
    except ValueError as error:
        raise InvalidInput(f"status: {command.status!r} is not a step status") from error
    return tell(batch, command.dag_name, command.dag_run_id, PatchNode(command.step_name, status, command.by))


def retry_run(batch: Batch, command: c.RetryRun) -> dict[str, Any]:
    """Retry in place, or retry the run named in the body, or start a new one from this one's results."""
    key = find(batch, command.dag_name, command.dag_run_id)
    source = batch.run(key)
    assert source is not None  # noqa: S101 - _find raises otherwise
    target, step = command.new_run_id or source.dag_run_id, command.step_name or ""
    if batch.key_of(command.dag_name, target) is not None:
        tell(batch, command.dag_name, target, Retry(command.by, step))
        return {"dagRunId": target}
    if not valid_run_id(target):
        raise InvalidInput(f"dagRunId: {target!r} must be 1 to 64 letters, digits, dashes, dots or underscores")
    refused = refusal(source, step)
    if refused is not None:
        raise RefusedByCore(refused)
    run = again(source, target, batch.now, step)
    spec_hash, file_name = batch.origin(key)
    batch.add(run, spec_hash=spec_hash, file_name=file_name)
    batch.apply(run.run_key, Begin(command.by))
    return {"dagRunId": target}
