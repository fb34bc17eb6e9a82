"""Checks that every run and step has something to wait for, and that ended runs are at rest."""

from collections.abc import Iterator

from sqlalchemy import Exists, and_, func, or_, select

from shared.contracts.follow_ups import FOLLOW_UP
from shared.status import NodeStatus, RunStatus, TimerKind
from shared.store import tables as t
from shared.store.checks.base import BY_HAND, StoreSnapshot, Violation, check
from shared.store.queries.runs import not_removed

__all__ = ["CHECKS"]

_RUNNING = str(RunStatus.RUNNING)
_ENDED = [str(status) for status in RunStatus if status.ended]
_OPEN_NODE = [str(NodeStatus.RUNNING), str(NodeStatus.WAITING)]
_STUCK = "Restart the schedulers; if it stays, stop the run and retry it, and report it with the run's rows."


def _waits_for_place() -> Exists:
    """Return the condition of a node that it waits for a place in a pool."""
    n, w = t.nodes.c, t.pool_waits.c
    return select(w.run_key).where(w.run_key == n.run_key, w.node == n.idx).exists()


@check("step-waits-for-something", "I9", _STUCK)
def _running_nodes(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """A running step has an open attempt, a time for its next one, sub-runs, or waits for a pool or another step."""
    n, r, other = t.nodes.c, t.dag_runs.c, t.nodes.alias("other").c
    query = (
        select(n.run_key, n.idx, n.name, n.started_at, r.started_at.label("run_started_at"))
        .join(t.dag_runs, r.run_key == n.run_key)
        .where(r.status == _RUNNING, n.status == str(NodeStatus.RUNNING))
        .where(n.token.is_(None), n.retry_at.is_(None), n.call_token == "", ~_waits_for_place())
        .where(~select(other.run_key).where(other.run_key == n.run_key, other.token.is_not(None)).exists())
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"step {row['name']} of run {row['run_key']} is running, but has no attempt, timer, sub-run or wait",
            {"run_key": row["run_key"], "node": str(row["idx"])},
        )


@check("run-goes-on", "I9", _STUCK)
def _running_runs(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """In a running run, a step runs or waits, or a timer is set."""
    r, n, w, m = t.dag_runs.c, t.nodes.c, t.pool_waits.c, t.timers.c
    busy = select(n.run_key).where(n.run_key == r.run_key, or_(n.token.is_not(None), n.status.in_(_OPEN_NODE)))
    waits = select(w.run_key).where(w.run_key == r.run_key)
    timed = select(m.run_key).where(m.run_key == r.run_key)
    query = select(r.run_key, r.dag_name, r.dag_run_id).where(
        r.status == _RUNNING, ~busy.exists(), ~waits.exists(), ~timed.exists()
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"run {row['dag_name']}/{row['dag_run_id']} is running, but nothing in it runs or waits",
            {"run_key": row["run_key"]},
        )


@check("timer-age", "I9", _STUCK)
def _timers(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No timer is overdue by more than a grace, and none is missing."""
    for row in snapshot.rows(select(t.timers)):
        if snapshot.overdue(row["due_at"]):
            yield Violation(
                f"timer {row['kind']} of step {row['node']} of run {row['run_key']} was due at "
                f"{row['due_at']:%Y-%m-%d %H:%M:%S} UTC",
                {"run_key": row["run_key"], "node": str(row["node"])},
            )
    n, m = t.nodes.c, t.timers.c
    query = (
        select(n.run_key, n.idx, n.name, n.retry_at)
        .join(t.dag_runs, t.dag_runs.c.run_key == n.run_key)
        .outerjoin(t.timers, and_(m.run_key == n.run_key, m.node == n.idx, m.kind == str(TimerKind.RETRY)))
        .where(t.dag_runs.c.status == _RUNNING, n.retry_at.is_not(None), n.token.is_(None), m.kind.is_(None))
        # Earlier releases kept the time of a step that waits for a place in a pool.
        .where(~_waits_for_place())
    )
    for row in snapshot.rows(query):
        if snapshot.overdue(row["retry_at"]):
            yield Violation(
                f"step {row['name']} of run {row['run_key']} waits for its next attempt, but has no timer",
                {"run_key": row["run_key"], "node": str(row["idx"])},
            )


@check("run-at-rest", "I5", _STUCK)
def _ended_runs(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No step of an ended run runs, waits or has an open attempt, unless a person has set its status.

    Its mails and the removal of its container may follow the end.
    """
    r, n, w, c = t.dag_runs.c, t.nodes.c, t.pool_waits.c, t.transitions.c
    newest = select(c.why).where(c.run_key == n.run_key, c.node == n.idx).order_by(c.seq.desc()).limit(1)
    query = (
        select(n.run_key, n.idx, n.name, n.status, n.token, r.status.label("run_status"))
        .add_columns(newest.scalar_subquery().label("why"))
        .join(t.dag_runs, r.run_key == n.run_key)
        .where(r.status.in_(_ENDED), n.kind != FOLLOW_UP, or_(n.status.in_(_OPEN_NODE), n.token.is_not(None)))
    )
    for row in snapshot.rows(query):
        if row["token"] is None and (row["why"] or "").startswith(BY_HAND):
            continue
        yield Violation(
            f"run {row['run_key']} is {row['run_status']}, but its step {row['name']} is {row['status']}",
            {"run_key": row["run_key"], "node": str(row["idx"])},
        )
    waits = select(w.run_key, w.node, w.kind, w.name).join(t.dag_runs, r.run_key == w.run_key)
    for row in snapshot.rows(waits.where(r.status.in_(_ENDED))):
        yield Violation(
            f"run {row['run_key']} has ended, but its step {row['node']} waits for {row['kind']} {row['name']}",
            {"run_key": row["run_key"], "node": str(row["node"])},
        )


@check("sub-run-parent", "I5", "Rows were deleted outside Dagway. Delete the sub-run.")
def _parents(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """Every sub-run has its root run, its parent run and the step that called it."""
    r = t.dag_runs.c
    parent, root = t.dag_runs.alias("parent"), t.dag_runs.alias("root")
    query = (
        select(r.run_key, r.dag_run_id, r.root_key, r.parent_key, r.parent_node)
        .add_columns(parent.c.run_key.label("parent_found"), root.c.run_key.label("root_found"), t.nodes.c.idx)
        .select_from(
            t.dag_runs.outerjoin(parent, parent.c.run_key == r.parent_key)
            .outerjoin(root, root.c.run_key == r.root_key)
            .outerjoin(t.nodes, and_(t.nodes.c.run_key == r.parent_key, t.nodes.c.idx == r.parent_node))
        )
        .where(or_(r.root_key.is_not(None), r.parent_key.is_not(None)))
        # A removed run, and the sub-runs that are left of it, are being deleted.
        .where(not_removed(t.dag_runs, root))
    )
    for row in snapshot.rows(query):
        for what, found in (("root run", "root_found"), ("parent run", "parent_found"), ("calling step", "idx")):
            if row[found] is None:
                yield Violation(
                    f"sub-run {row['dag_run_id']} ({row['run_key']}) has no {what}", {"run_key": row["run_key"]}
                )
                break


@check("lease-in-future", "I9", "Correct the clock of the schedulers or of this machine (NTP).")
def _workers(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No lease or heartbeat is later than a grace from now, so a lost worker is found in time."""
    w = t.workers.c
    query = select(w.worker_id, w.lease_until, w.heartbeat_at).where(
        or_(w.lease_until > snapshot.now + snapshot.grace, w.heartbeat_at > snapshot.now + snapshot.grace)
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"worker {row['worker_id']} has a lease until {row['lease_until']:%Y-%m-%d %H:%M:%S} UTC, and its last "
            f"heartbeat at {row['heartbeat_at']:%Y-%m-%d %H:%M:%S} UTC is in the future",
            {"worker_id": row["worker_id"]},
        )


@check("owner", "I5", "Delete these rows, once no scheduler of an earlier version runs.")
def _owners(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """Attempts, executions, log chunks and pool places belong to runs that exist."""
    r = t.dag_runs.c
    times = {t.attempts: "finished_at", t.executions: "at", t.log_chunks: "at", t.pool_places: "entered_at"}
    for table, time in times.items():
        c = table.c
        query = (
            select(c.run_key, func.count().label("count"), func.max(c[time]).label("latest"))
            .select_from(table.outerjoin(t.dag_runs, r.run_key == c.run_key))
            .where(r.run_key.is_(None))
            .group_by(c.run_key)
        )
        if table is t.pool_places:
            # The place of a rate limit stays taken until its time, whatever becomes of the run.
            query = query.where(c.until_at.is_(None))
        for row in snapshot.rows(query):
            # A late report may have been on its way when the run was deleted.
            if snapshot.overdue(row["latest"]):
                yield Violation(
                    f"{row['count']} rows of {table.name} belong to run {row['run_key']}, which does not exist",
                    {"table": table.name, "run_key": row["run_key"]},
                )


CHECKS = (_running_nodes, _running_runs, _timers, _ended_runs, _parents, _workers, _owners)
