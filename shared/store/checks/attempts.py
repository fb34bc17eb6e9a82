"""Checks of attempts and executions: what ran, how often, and whether it may still run."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import and_, func, select

from shared.contracts.follow_ups import FOLLOW_UP
from shared.status import AttemptState, Begun, NodeStatus
from shared.store import tables as t
from shared.store.checks.base import BY_HAND, KnownStep, StoreSnapshot, Violation, check

__all__ = ["CHECKS"]

_COUNTED = (str(AttemptState.FINISHED), str(AttemptState.LOST))
_NOT_BEGUN = (str(Begun.NEVER_SENT), str(Begun.NO))
_BEGAN_BESIDE = "without the right to"
"""How the history says that a worker began what it did not hold."""
_TWICE = (
    "The step may have run twice: look at the rows of `executions` and at what the step did, and repair its effects by "
    "hand."
)


@check("attempt-open-once", "I3", _TWICE)
def _one_open(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No attempt is open in two steps, and none is both open and closed."""
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


@dataclass(frozen=True, slots=True)
class Tries:
    """The counted attempts of a step in one run attempt, in order: their numbers, and those that succeeded.

    ``step`` is ``None`` for handlers and the prepare node, and for a spec that this version cannot read. ``lost_last``:
    the step succeeded, but its last attempt was lost.
    """

    run_key: str
    node: int
    run_attempt: int
    numbers: list[int]
    succeeded: list[int]
    lost_last: bool
    step: KnownStep | None

    def __str__(self) -> str:
        return f"step {self.node} of run {self.run_key}, run attempt {self.run_attempt}"

    @property
    def ids(self) -> dict[str, str]:
        return {"run_key": self.run_key, "node": str(self.node)}


def _tries(snapshot: StoreSnapshot) -> Iterator[Tries]:
    """Yield the attempts of each step and run attempt. Follow-ups are left out: one node has several in turn."""
    a, n, r, c = t.attempts.c, t.nodes.c, t.dag_runs.c, t.transitions.c
    by_hand = select(c.seq).where(c.run_key == n.run_key, c.node == n.idx, c.why.startswith(BY_HAND)).exists()
    query = (
        select(a.run_key, a.node, a.run_attempt, a.number, a.outcome, a.state, r.spec_hash, r.file_name)
        .add_columns(((n.status == "succeeded") & (r.run_attempt == a.run_attempt) & ~by_hand).label("succeeded"))
        .join(t.nodes, and_(n.run_key == a.run_key, n.idx == a.node))
        .join(t.dag_runs, r.run_key == a.run_key)
        .where(a.state.in_(_COUNTED), n.kind != FOLLOW_UP)
        .order_by(a.run_key, a.node, a.run_attempt, a.number)
    )
    for key, group in groupby(snapshot.rows(query), key=lambda row: (row["run_key"], row["node"], row["run_attempt"])):
        rows = list(group)
        last = rows[-1]
        dag = snapshot.known_dag(last["spec_hash"], last["file_name"])
        yield Tries(
            *key,
            numbers=[row["number"] for row in rows],
            succeeded=[row["number"] for row in rows if row["outcome"] == "succeeded"],
            lost_last=bool(last["succeeded"]) and last["state"] == AttemptState.LOST,
            step=dag.steps[key[1]] if dag is not None and key[1] < len(dag.steps) else None,
        )


@check(
    "attempt-numbers",
    "I4",
    "Rows of `attempts` are missing or were changed outside Dagway. Restore them from a backup, or delete the run.",
    of=_tries,
)
def _numbers(tries: Tries) -> Iterator[Violation]:
    """The attempts of a step are numbered from 1 without gaps in each run attempt."""
    if tries.numbers != list(range(1, len(tries.numbers) + 1)):
        yield Violation(f"{tries} has the attempts {tries.numbers}", tries.ids)


@check("attempt-one-success", "I4", _TWICE, of=_tries)
def _one_success(tries: Tries) -> Iterator[Violation]:
    """A step succeeds once in each run attempt, with its last attempt.

    Steps that repeat or call runs are not judged.
    """
    step = tries.step
    if step is None:
        return
    if step.once and tries.succeeded and tries.succeeded != [tries.numbers[-1]]:
        yield Violation(f"{tries} succeeded at {tries.succeeded} of {tries.numbers}", tries.ids)
    if tries.lost_last and not step.may_be_lost:
        yield Violation(f"{tries} succeeded, but its last attempt was lost", tries.ids)


@check(
    "attempt-left-open",
    "I9",
    "No scheduler expires leases: check that the schedulers reach the broker and that their event queue drains.",
)
def _left_open(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No attempt stays open when its worker has been lost for longer than a grace."""
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


@check("execution-holder", "I8", _TWICE)
def _one_holder(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """At most one worker was given each attempt. A finished or lost attempt was given to the worker that held it."""
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
        # Imported attempts have no executions, and say nothing in ``begun``.
        .where(a.state.in_(_COUNTED), a.begun.is_not(None), e.token.is_(None))
    )
    for row in snapshot.rows(unheld):
        yield Violation(
            f"attempt {row['token']} is {row['state']}, but no execution of worker {row['worker_id']} was accepted",
            {"token": row["token"], "run_key": row["run_key"]},
        )
    # Whoever held an attempt may say that it did not begin it: the confirm of its start, or the grant, came too late.
    holder = e.worker_id.is_not_distinct_from(a.worker_id), e.incarnation.is_not_distinct_from(a.incarnation)
    gave_up = and_(a.begun == str(Begun.NO), *holder)
    withdrawn = (
        select(e.token, e.run_key, e.worker_id, a.begun)
        .join(t.attempts, a.token == e.token)
        .where(e.begun, e.accepted, a.state == str(AttemptState.WITHDRAWN), a.begun.in_(_NOT_BEGUN), ~gave_up)
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


@check("execution-told", "I8", _TWICE)
def _none_beside(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """If a worker began an attempt without the right to, the run's history says so."""
    e, c = t.executions.c, t.transitions.c
    told = select(c.seq).where(c.run_key == e.run_key, c.node == e.node, c.why.contains(_BEGAN_BESIDE, autoescape=True))
    query = select(e.token, e.run_key, e.node, e.worker_id, e.at).where(e.begun, ~e.accepted, ~told.exists())
    for row in snapshot.rows(query):
        if snapshot.overdue(row["at"]):
            yield Violation(
                f"worker {row['worker_id']} began attempt {row['token']} without the right to; its run does not say so",
                {"token": row["token"], "run_key": row["run_key"], "node": str(row["node"])},
            )


@check("attempt-ended", "I3", "Stop the run: the worker that holds the attempt then ends it.")
def _success_agrees(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """A step that has ended has no open attempt."""
    n = t.nodes.c
    query = select(n.run_key, n.idx, n.name, n.status, n.token).where(
        n.kind != FOLLOW_UP,
        n.token.is_not(None),
        n.status.in_([str(status) for status in NodeStatus if status.terminal]),
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"step {row['name']} of run {row['run_key']} is {row['status']}, but its attempt {row['token']} is open",
            {"token": row["token"], "run_key": row["run_key"], "node": str(row["idx"])},
        )


CHECKS = (_one_open, _numbers, _one_success, _left_open, _success_agrees, _one_holder, _none_beside)
