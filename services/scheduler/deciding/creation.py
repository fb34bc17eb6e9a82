"""Creates runs: from a spec and parameters, or from another run."""

from datetime import datetime
from itertools import chain

from services.scheduler.core.model import Run, evolve
from services.scheduler.core.new_nodes import fresh_nodes, fresh_tally
from services.scheduler.core.plan import Plan
from services.scheduler.core.run_attempts import carry_over
from shared.admission.runs import LOW, own_priority
from shared.errors import InvalidInput
from shared.ids import MOST_QUEUE_CHARS
from shared.language.expansion.resolve import needs_worker, resolve_env, resolve_params
from shared.language.expansion.sealed_text import has_sealed
from shared.language.model import Dag
from shared.language.steps.pools import MOST_POOL_CHARS
from shared.status import RunStatus
from shared.workspaces import check_length, stored_name, workspace_of

__all__ = ["needs_prepare", "new_run", "priority_from", "queue_of", "rerun", "retry_as_new_run"]


def new_run(
    plan: Plan,
    *,
    run_key: str,
    dag_name: str,
    dag_run_id: str,
    given: str,
    queue: str | None,
    queued: bool,
    now: datetime,
    scheduled_at: datetime | None = None,
    priority: int = LOW,
) -> Run:
    """Return a new run. If it is not ``queued``, the caller applies ``Begin`` to it.

    If env or params need a shell or the host's variables, or a parameter is sealed, a prepare attempt evaluates them
    on a worker; until then env and params are empty.

    Raises:
        InvalidInput: the parameters cannot be parsed, or a queue or pool has a name that is too long here.
    """
    dag = plan.dag
    queue = queue or queue_of(dag, dag_name)
    _check_lengths(plan, queue)
    # Only a worker can open a sealed parameter, and other parameters may refer to it.
    on_worker = needs_worker(dag) or has_sealed(given)
    prepare = on_worker or needs_prepare(dag, evaluated=True)
    try:
        # Values that need no worker are known from the beginning, so that the handlers of a run that is stopped while
        # its preconditions are checked have them.
        env = () if on_worker else resolve_env(dag.env)
        params, params_json = ((), None) if on_worker else resolve_params(dag, given, env=env)
    except ValueError as error:
        raise InvalidInput(f"params: {error}") from error
    return Run(
        run_key=run_key,
        plan=plan,
        dag_name=dag_name,
        dag_run_id=dag_run_id,
        root_dag_name=dag_name,
        root_dag_run_id=dag_run_id,
        status=RunStatus.QUEUED if queued else RunStatus.NOT_STARTED,
        created_at=now,
        nodes=fresh_nodes(plan, prepare=prepare),
        tally=fresh_tally(plan, prepare=prepare),
        queue=queue,
        given=given,
        params=params,
        params_json=params_json,
        env=env,
        queued_at=now if queued else None,
        scheduled_at=scheduled_at,
        priority=priority,
    )


def queue_of(dag: Dag, dag_name: str) -> str:
    """Return the queue of the runs of a DAG, unless their request names another one. ``dag_name``: its stored name."""
    return stored_name(workspace_of(dag_name), dag.queue) if dag.queue else dag_name


def priority_from(run: Run) -> int:
    """Return the priority of a new run that is made from another one: as its sub-run, or to run it again."""
    return own_priority(run.priority)


def _check_lengths(plan: Plan, queue: str) -> None:
    """Raise ``InvalidInput`` if the stored name of the queue or of a pool is longer than the database takes."""
    check_length(queue, MOST_QUEUE_CHARS, "queue")
    workspace = workspace_of(queue)
    if workspace:
        for claim in chain.from_iterable(plan.claims.values()):
            check_length(stored_name(workspace, claim.key.name), MOST_POOL_CHARS, claim.key.kind)


def rerun(
    source: Run,
    *,
    run_key: str,
    dag_name: str,
    dag_run_id: str,
    queued: bool,
    now: datetime,
    scheduled_at: datetime | None = None,
) -> Run:
    """Return a new run with the spec, parameters and priority of ``source``, in which every step runs again.

    It is in the queue of ``source``, unless it has another name. The new run takes over the evaluated env and params
    of ``source``, so commands in them do not run again. Unless it has a scheduled time of its own, it is for that of
    ``source``.
    Source: docs/workflow-language.md#where-things-happen.
    """
    plan = source.plan
    run = new_run(
        plan,
        run_key=run_key,
        dag_name=dag_name,
        dag_run_id=dag_run_id,
        given=source.given,
        queue=source.queue if dag_name == source.dag_name else None,
        queued=queued,
        now=now,
        scheduled_at=scheduled_at or source.scheduled_at,
        priority=priority_from(source),
    )
    if not source.evaluated:
        return run
    return evolve(
        run,
        nodes=fresh_nodes(plan, prepare=needs_prepare(plan.dag, evaluated=True)),
        env=source.env,
        params=source.params,
        params_json=source.params_json,
    )


def retry_as_new_run(source: Run, *, run_key: str, dag_run_id: str, now: datetime, step: str) -> Run:
    """Return a new run with the spec of ``source`` that keeps the steps that succeeded.

    ``step``: the only step to run, or empty.
    """
    fresh = evolve(
        source,
        run_key=run_key,
        dag_run_id=dag_run_id,
        root_dag_run_id=dag_run_id,
        status=RunStatus.NOT_STARTED,
        created_at=now,
        nodes=fresh_nodes(source.plan, prepare=needs_prepare(source.plan.dag, evaluated=source.evaluated)),
        priority=priority_from(source),
        version=0,
        last_seq=0,
        run_attempt=1,
        worker_id=None,
        incarnation=None,
        stop_reason=None,
        error="",
        queued_at=None,
        started_at=None,
        finished_at=None,
        first_started_at=None,
    )
    return carry_over(fresh, source, step)


def needs_prepare(dag: Dag, *, evaluated: bool) -> bool:
    """Return whether a worker must look at a new run before its first step. ``evaluated``: env and params are known."""
    # A secret that cannot be read must fail the run before its first step.
    return bool(dag.preconditions or dag.secrets) or (not evaluated and needs_worker(dag))
