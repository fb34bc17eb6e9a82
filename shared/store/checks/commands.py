"""Checks of commands and of the outbox."""

import re
from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import func, or_, select

from shared.store import tables as t
from shared.store.checks.base import StoreSnapshot, Violation, check
from shared.store.queries.matching import contains

__all__ = ["CHECKS"]

_OUTCOMES = ("recorded", "refused")
_CREATING = ("run.start", "run.enqueue")
_FORGETTING = ("run.dequeue", "run.remove")
"""The commands that delete a run. Their replies do not name it."""
_RETENTION = re.compile(r"histRetentionDays\W*?(-?\d+)")
_DEFAULT_DAYS = 30


@check(
    "command-outcome",
    "I1",
    "Compare the row of `inbox` with the scheduler's log of that time. Do not repeat the command with a new key "
    "before you know whether it was carried out.",
)
def _one_outcome(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """Every recorded command has one outcome, and its reply says the same."""
    c = t.inbox.c
    query = select(c.command_id, c.type, c.outcome).where(
        or_(c.outcome.not_in(_OUTCOMES), func.coalesce(c.reply["outcome"].as_string(), "") != c.outcome)
    )
    for row in snapshot.rows(query):
        yield Violation(
            f"command {row['command_id']} ({row['type']}) has the outcome {row['outcome']!r}, its reply another",
            {"command_id": row["command_id"]},
        )


@check(
    "command-run",
    "I1",
    "If nobody deleted the run by hand, the database lost commits: see docs/operations/backup.md, and start the run "
    "again.",
)
def _run_of_command(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """The run that a command created exists.

    Not judged: commands older than the shortest `histRetentionDays`, and commands before the last `run.dequeue` or
    `run.remove`.
    """
    c, r = t.inbox.c, t.dag_runs.c
    run_id = c.reply["result"]["dagRunId"].as_string()
    last = next(snapshot.rows(select(func.max(c.at).label("at")).where(c.type.in_(_FORGETTING))))["at"]
    query = (
        select(c.command_id, run_id.label("dag_run_id"))
        .select_from(t.inbox.outerjoin(t.dag_runs, (r.dag_run_id == run_id) & r.root_key.is_(None)))
        .where(c.type.in_(_CREATING), c.outcome == "recorded", run_id.is_not(None), r.run_key.is_(None))
        .where(c.at > snapshot.now - _kept_for(snapshot))
    )
    if last is not None:
        query = query.where(c.at > last)
    for row in snapshot.rows(query):
        yield Violation(f"command {row['command_id']} created run {row['dag_run_id']}, which does not exist", dict(row))


def _kept_for(snapshot: StoreSnapshot) -> timedelta:
    """Return the shortest time for which any DAG, at any time, kept its ended runs."""
    days = [_DEFAULT_DAYS]
    for row in snapshot.rows(select(t.specs.c.yaml).where(contains(t.specs.c.yaml, "histRetentionDays"))):
        days += [int(found) for found in _RETENTION.findall(row["yaml"]) if int(found) >= 0]
    return timedelta(days=min(days))


@check(
    "run-unique",
    "I1",
    "A unique index is missing, or damaged, for instance by an upgrade of the operating system of Postgres: delete all "
    "but one of these runs by SQL, then make the index again as in a new database, or REINDEX it.",
)
def _unique_runs(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No two root runs of a DAG, and no two sub-runs of a root run, have the same id."""
    c = t.dag_runs.c
    scope = func.coalesce(c.root_key, c.dag_name)
    query = select(scope.label("scope"), c.dag_run_id, func.count().label("count"))
    for row in snapshot.rows(query.group_by(scope, c.dag_run_id).having(func.count() > 1)):
        yield Violation(
            f"{row['count']} runs of {row['scope']} have the id {row['dag_run_id']}",
            {"scope": row["scope"], "dag_run_id": row["dag_run_id"]},
        )


@check(
    "outbox-age",
    "I7",
    "Check the broker and the log of the schedulers: the relay sends the message as soon as the broker confirms.",
)
def _outbox_age(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """Every message that a decision wrote is sent soon."""
    for row in snapshot.rows(select(t.outbox.c.id, t.outbox.c.created_at, t.outbox.c.route)):
        if snapshot.overdue(row["created_at"]):
            where = row["route"][0] if row["route"] else "no broker queue"
            yield Violation(
                f"message {row['id']} for {where} has not been sent since {row['created_at']:%Y-%m-%d %H:%M:%S} UTC",
                {"message_id": row["id"]},
            )


CHECKS = (_one_outcome, _run_of_command, _unique_runs, _outbox_age)
