"""Checks of attempts and executions: what ran, how often, and whether it may still run."""

from collections.abc import Iterator
from itertools import groupby

from sqlalchemy import and_, func, select

from shared.language.model import Step
from shared.status import AttemptState, Begun, NodeStatus
from shared.store import tables as t
from shared.store.checks.base import Check, Snapshot, Violation

__all__ = ["CHECKS"]

_COUNTED = (str(AttemptState.FINISHED), str(AttemptState.LOST))
_NOT_BEGUN = (str(Begun.NEVER_SENT), str(Begun.NO))
_BEGAN_BESIDE = "without the right to"
"""How the history says that a worker began what it did not hold."""


def _one_open(snapshot: Snapshot) -> Iterator[Violation]:
    n, a = t.nodes.c, t.attempts.c
    twice = select(n.token, func.count().label("count")).where(n.token.is_not(None))
    for row in snapshot.rows(twice.group_by(n.token).having(func.count() > 1)):
        yield Violation(f"attempt {row['token']} is open in {row['count']} steps", {"token": row["token"]})
    closed = select(n.token, n.run_key, n.idx, a.state).join(t.attempts, a.token == n.token)
    for row in snapshot.rows(closed):
        yield Violation(
            f"attempt {row['token']} is open, but also recorded as {row['state']}",
            {"token": row["token"], "run_key": row["run_key"], "node": str(row["idx"])},
        )


def _numbers(snapshot: Snapshot) -> Iterator[Violation]:
    for (run_key, node, run_attempt), numbers, _ in _tries(snapshot):
        if numbers != list(range(1, len(numbers) + 1)):
            yield Violation(
                f"step {node} of run {run_key}, run attempt {run_attempt}, has the attempts {numbers}",
                {"run_key": run_key, "node": str(node)},
            )


def _one_success(snapshot: Snapshot) -> Iterator[Violation]:
    for (run_key, node, run_attempt), numbers, good in _tries(snapshot):
        if good and good != [numbers[-1]]:
            yield Violation(
                f"step {node} of run {run_key}, run attempt {run_attempt}, succeeded at {good} of {numbers}",
                {"run_key": run_key, "node": str(node)},
            )


def _tries(snapshot: Snapshot) -> Iterator[tuple[tuple[str, int, int], list[int], list[int]]]:
    """Yield, for each step and run attempt, the numbers of its attempts and of those that succeeded.

    Side tasks are left out: a run may have several, one after the other. Successes of steps that repeat or call runs
    are left out: they may have many.
    """
    a, n, r = t.attempts.c, t.nodes.c, t.dag_runs.c
    query = (
        select(a.run_key, a.node, a.run_attempt, a.number, a.outcome, r.spec_hash, r.file_name)
        .join(t.nodes, and_(n.run_key == a.run_key, n.idx == a.node))
        .join(t.dag_runs, r.run_key == a.run_key)
        .where(a.state.in_(_COUNTED), n.kind != "errand")
        .order_by(a.run_key, a.node, a.run_attempt, a.number)
    )
    for key, group in groupby(snapshot.rows(query), key=lambda row: (row["run_key"], row["node"], row["run_attempt"])):
        tries = list(group)
        dag = snapshot.dag(tries[0]["spec_hash"], tries[0]["file_name"])
        once = dag is not None and key[1] < len(dag.steps) and _runs_once(dag.steps[key[1]])
        good = [row["number"] for row in tries if once and row["outcome"] == "succeeded"]
        yield key, [row["number"] for row in tries], good


def _runs_once(step: Step) -> bool:
    return step.repeat_policy is None and not step.call and step.parallel is None


def _left_open(snapshot: Snapshot) -> Iterator[Violation]:
    n, w = t.nodes.c, t.workers.c
    query = (
        select(n.run_key, n.idx, n.token, n.token_worker, n.token_state, n.token_incarnation, n.dispatched_at)
        .add_columns(w.lease_until, w.incarnation, w.started_at)
        .select_from(t.nodes.outerjoin(t.workers, w.worker_id == n.token_worker))
        .where(n.token.is_not(None), n.token_worker.is_not(None))
    )
    for row in snapshot.rows(query):
        if row["lease_until"] is None:
            gone, why = row["dispatched_at"], "is not known"
        elif row["token_state"] == AttemptState.RUNNING and row["token_incarnation"] != row["incarnation"]:
            gone, why = max(row["started_at"], row["dispatched_at"]), "was restarted since"
        else:
            gone, why = row["lease_until"], "is lost"
        if snapshot.overdue(gone):
            yield Violation(
                f"attempt {row['token']} is {row['token_state']}, but its worker {row['token_worker']} {why}",
                {"token": row["token"], "run_key": row["run_key"], "node": str(row["idx"])},
            )


def _one_holder(snapshot: Snapshot) -> Iterator[Violation]:
    e, a, n = t.executions.c, t.attempts.c, t.nodes.c
    many = select(e.token, e.run_key, func.count().label("count")).where(e.accepted)
    for row in snapshot.rows(many.group_by(e.token, e.run_key).having(func.count() > 1)):
        yield Violation(
            f"attempt {row['token']} was accepted for {row['count']} workers",
            {"token": row["token"], "run_key": row["run_key"]},
        )
    held = and_(
        e.token == a.token,
        e.run_key == a.run_key,
        e.worker_id == a.worker_id,
        e.incarnation == a.incarnation,
        e.accepted,
    )
    unheld = (
        select(a.token, a.run_key, a.worker_id, a.state)
        .select_from(t.attempts.outerjoin(t.executions, held))
        .where(a.state.in_(_COUNTED), e.token.is_(None))
    )
    for row in snapshot.rows(unheld):
        yield Violation(
            f"attempt {row['token']} is {row['state']}, but no execution of worker {row['worker_id']} was accepted",
            {"token": row["token"], "run_key": row["run_key"]},
        )
    withdrawn = (
        select(e.token, e.run_key, e.worker_id, a.begun)
        .join(t.attempts, a.token == e.token)
        .where(e.begun, e.accepted, a.state == str(AttemptState.WITHDRAWN), a.begun.in_(_NOT_BEGUN))
    )
    for row in snapshot.rows(withdrawn):
        yield Violation(
            f"worker {row['worker_id']} began attempt {row['token']}, which was withdrawn and counts as never begun",
            {"token": row["token"], "run_key": row["run_key"]},
        )
    unknown = (
        select(e.token, e.run_key, e.worker_id)
        .select_from(t.executions.outerjoin(t.attempts, a.token == e.token).outerjoin(t.nodes, n.token == e.token))
        .where(e.accepted, a.token.is_(None), n.token.is_(None))
    )
    for row in snapshot.rows(unknown):
        yield Violation(
            f"an execution of attempt {row['token']} was accepted, but there is no such attempt",
            {"token": row["token"], "run_key": row["run_key"]},
        )


def _none_beside(snapshot: Snapshot) -> Iterator[Violation]:
    e, c = t.executions.c, t.transitions.c
    told = select(c.seq).where(c.run_key == e.run_key, c.node == e.node, c.why.contains(_BEGAN_BESIDE, autoescape=True))
    query = select(e.token, e.run_key, e.node, e.worker_id, e.at).where(e.begun, ~e.accepted, ~told.exists())
    for row in snapshot.rows(query):
        if snapshot.overdue(row["at"]):
            yield Violation(
                f"worker {row['worker_id']} began attempt {row['token']} without the right to; its run does not say so",
                {"token": row["token"], "run_key": row["run_key"], "node": str(row["node"])},
            )


def _success_agrees(snapshot: Snapshot) -> Iterator[Violation]:
    n = t.nodes.c
    query = select(n.run_key, n.idx, n.name, n.status, n.token).where(
        n.kind != "errand",
        n.token.is_not(None),
        n.status.in_([str(status) for status in NodeStatus if status.terminal]),
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"step {row['name']} of run {row['run_key']} is {row['status']}, but its attempt {row['token']} is open",
            {"token": row["token"], "run_key": row["run_key"], "node": str(row["idx"])},
        )


_TWICE = (
    "The step may have run twice: look at the rows of `executions` and at what the step did, and repair its effects by "
    "hand."
)

CHECKS = (
    Check(
        "attempt-open-once",
        "I3",
        "No attempt is open in two steps, and none is both open and closed.",
        _TWICE,
        _one_open,
    ),
    Check(
        "attempt-numbers",
        "I4",
        "The attempts of a step are numbered from 1 without gaps in each run attempt.",
        "Rows of `attempts` are missing or were changed outside Dagway. Restore them from a backup, or delete the run.",
        _numbers,
    ),
    Check(
        "attempt-one-success",
        "I4",
        "A step succeeds once in each run attempt, with its last attempt. Steps that repeat or call runs are not "
        "judged.",
        _TWICE,
        _one_success,
    ),
    Check(
        "attempt-left-open",
        "I9",
        "No attempt stays open when its worker has been lost for longer than a grace.",
        "No scheduler expires leases: check that the schedulers reach the broker and that their event queue drains.",
        _left_open,
    ),
    Check(
        "attempt-ended",
        "I3",
        "A step that has ended has no open attempt.",
        "Stop the run; the worker that holds the attempt is told to end it.",
        _success_agrees,
    ),
    Check(
        "execution-holder",
        "I8",
        "At most one worker was given each attempt. A finished or lost attempt was given to the worker that held it.",
        _TWICE,
        _one_holder,
    ),
    Check(
        "execution-told",
        "I8",
        "If a worker began an attempt without the right to, the run's history says so.",
        _TWICE,
        _none_beside,
    ),
)
