"""Checks of limits: how many runs of a queue run at once, and how many steps have places in a pool."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby

from sqlalchemy import func, or_, select

from shared.admission.pools import LOCK, POOL
from shared.admission.runs import capacity_of
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.checks.base import StoreSnapshot, Violation, check
from shared.store.checks.running_times import RunningTime, admissions_over

__all__ = ["CHECKS"]

_BACK = timedelta(days=1)
"""How far back the limits of queues are judged."""
_RUNNING = str(RunStatus.RUNNING)


@check(
    "queue-limit",
    "I9",
    "Set the limit again. If it happens again, report it with the rows of `transitions` of these runs.",
)
def _queues(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No admission of the last day, and since the last change of the limit, exceeded the limit of its queue.

    Only runs count that ran for longer than a grace afterwards. Runs that are started directly do not wait for a limit,
    and a sub-run may take the place of a run above it.
    """
    q, limits = t.queues.c, t.queue_limits.c
    query = select(q.name, q.max_concurrency, limits.updated_at).select_from(
        t.queues.outerjoin(t.queue_limits, limits.name == q.name)
    )
    known = {row["name"]: (row["max_concurrency"], row["updated_at"]) for row in snapshot.rows(query)}
    since = snapshot.now - _BACK
    spans_by_queue, callers = _spans(snapshot, since)
    for queue, spans in spans_by_queue.items():
        limit, changed_at = known.get(queue, (None, None))
        judged_from = max(since, changed_at or since)
        for admission, running, allowed in admissions_over(limit, spans, callers, snapshot.grace, since=judged_from):
            yield Violation(
                f"{running} runs of queue {queue} ran at {admission.since:%Y-%m-%d %H:%M:%S} UTC, its limit is "
                f"{allowed}",
                {"queue": queue, "run_key": admission.run_key},
            )
            break


def _spans(
    snapshot: StoreSnapshot, since: datetime
) -> tuple[Mapping[str, list[RunningTime]], Mapping[str, str | None]]:
    """Return, by queue, when its runs ran, if they still run or ran after ``since``; and which run called each of them.

    A caller may be in another queue than a run that it calls.
    """
    r, c = t.dag_runs.c, t.transitions.c
    query = (
        select(c.run_key, c.at, c.was, c.became, r.queue, r.parent_key, r.spec_hash, r.file_name)
        .join(t.dag_runs, r.run_key == c.run_key)
        .where(c.node.is_(None), c.was != c.became, or_(r.finished_at.is_(None), r.finished_at > since))
        .order_by(c.run_key, c.seq)
    )
    found: dict[str, list[RunningTime]] = defaultdict(list)
    callers: dict[str, str | None] = {}
    for _, group in groupby(snapshot.rows(query), key=lambda row: row["run_key"]):
        began, admitted = None, False
        for row in group:
            end = row["at"]
            callers[row["run_key"]] = row["parent_key"]
            if row["became"] == _RUNNING:
                began, admitted = row["at"], row["was"] == RunStatus.QUEUED
                continue
            if began is not None:
                found[row["queue"]].append(_span(snapshot, row, began, end, admitted=admitted))
            began = None
        if began is not None:
            found[row["queue"]].append(_span(snapshot, row, began, None, admitted=admitted))
    return found, callers


def _span(
    snapshot: StoreSnapshot, row: Mapping[str, str], since: datetime, until: datetime | None, *, admitted: bool
) -> RunningTime:
    dag = snapshot.known_dag(row["spec_hash"], row["file_name"])
    limit = capacity_of(None, dag.max_active_runs) if dag is not None else 1 << 30
    return RunningTime(row["run_key"], since, until, admitted, limit)


@check("pool-limit", "I9", "Set the capacity again; no new step enters until enough places are free.")
def _pools(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No pool or lock has more users than places. Rate limits are not judged."""
    p = t.pool_places.c
    capacities = {row["name"]: (row["capacity"], row["updated_at"]) for row in snapshot.rows(select(t.pools))}
    query = (
        select(p.kind, p.name, func.count().label("taken"), func.max(p.entered_at).label("last"))
        .where(p.kind.in_([POOL, LOCK]), p.until_at.is_(None))
        .group_by(p.kind, p.name)
    )
    for row in snapshot.rows(query):
        capacity, changed_at = capacities.get(row["name"], (1, None)) if row["kind"] == POOL else (1, None)
        # After a smaller capacity was set, the steps that have places keep them.
        lowered = changed_at is not None and changed_at >= row["last"]
        if row["taken"] > capacity and not lowered:
            yield Violation(
                f"{row['taken']} steps have places in {row['kind']} {row['name']}, its capacity is {capacity}",
                {"kind": row["kind"], "name": row["name"]},
            )


@check("pool-place", "I9", "Delete the row of `pool_places` if its step has ended: others wait for the place.")
def _places(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """Every place in a pool or lock belongs to a step that runs."""
    p, n = t.pool_places.c, t.nodes.c
    query = (
        select(p.id, p.kind, p.name, p.run_key, p.node, p.entered_at, n.status)
        .join(t.nodes, (n.run_key == p.run_key) & (n.idx == p.node))
        .where(p.until_at.is_(None), n.token.is_(None), n.call_token == "", n.retry_at.is_(None))
        # An admitted step keeps its place while its run waits for a worker to begin the first step.
        .where(n.admission != "admitted")
    )
    for row in snapshot.rows(query):
        if snapshot.overdue(row["entered_at"]):
            yield Violation(
                f"step {row['node']} of run {row['run_key']} is {row['status']} and does not run, but has a place in "
                f"{row['kind']} {row['name']}",
                {"place_id": row["id"], "run_key": row["run_key"], "node": str(row["node"])},
            )


CHECKS = (_queues, _pools, _places)
