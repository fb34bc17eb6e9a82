"""Checks of schedules: every scheduled time has exactly one fire."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from shared.language.cron import fires_between
from shared.store import tables as t
from shared.store.checks.base import MARGIN, StoreSnapshot, Violation, check

__all__ = ["CHECKS"]

_MOST = 2000
"""How many of the latest scheduled times of each kind are judged."""
_BACK = timedelta(days=7)
"""How far back scheduled times are judged."""


@check(
    "schedule-ledger",
    "I2",
    "Start the missing runs by hand, and report it with the rows of `cron_slots` and `schedules` of the DAG.",
)
def _ledger(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """Each scheduled time since the DAG's last edit, at most seven days back, has one fire: fired, skipped or missed.

    (The primary key prevents a second one.) DAGs that were ever paused are not judged.
    """
    s, d, v = t.schedules.c, t.dags.c, t.dag_versions.c
    since = select(func.max(v.at)).where(v.file_name == d.file_name).scalar_subquery()
    query = (
        select(s.file_name, s.zone, s.decided_until, d.spec_hash, d.updated_at, since.label("version_at"))
        .join(t.dags, d.file_name == s.file_name)
        # A row of another version, or without a zone, is about to be computed again.
        .where(s.dag_version == d.version, s.zone != "")
    )
    paused = {row["name"] for row in snapshot.rows(select(t.pauses.c.name).where(t.pauses.c.scope == "dag"))}
    for row in list(snapshot.rows(query)):
        dag = snapshot.dag(row["spec_hash"], row["file_name"])
        if dag is None or row["file_name"] in paused:
            continue
        until: datetime = row["decided_until"]
        begin = max(row["version_at"] or row["updated_at"], row["updated_at"], until - _BACK)
        known = _known(snapshot, row["file_name"], begin)
        kinds = {"start": dag.schedule.start, "stop": dag.schedule.stop, "restart": dag.schedule.restart}
        for kind, expressions in kinds.items():
            zone = ZoneInfo(row["zone"])
            due = {at for expression in expressions for at in fires_between(expression, begin, until, zone)}
            # A fire at another time belongs to a schedule before an edit, or to another time zone (DAGWAY_TZ).
            former = max((first for first, last in known[kind] if first == last and first not in due), default=begin)
            for at in sorted(due)[-_MOST:]:
                if at > former and not any(first <= at <= last for first, last in known[kind]):
                    yield Violation(
                        f"DAG {row['file_name']} was due ({kind}) at {at:%Y-%m-%d %H:%M} UTC, and no fire is recorded",
                        {"file_name": row["file_name"], "kind": kind, "slot_at": at.isoformat()},
                    )


def _known(snapshot: StoreSnapshot, file_name: str, since: datetime) -> dict[str, list[tuple[datetime, datetime]]]:
    c = t.cron_slots.c
    query = select(c.kind, c.slot_at, c.until_at).where(
        c.file_name == file_name, func.coalesce(c.until_at, c.slot_at) >= since
    )
    known: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in snapshot.rows(query):
        known[row["kind"]].append((row["slot_at"], row["until_at"] or row["slot_at"]))
    return known


@check("schedule-late", "I2", "Check that a scheduler runs and that its log has no `schedule.unreadable` for this DAG.")
def _late(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """No schedule is due without a decision for longer than a grace."""
    s, p = t.schedules.c, t.pauses.c
    everything = select(p.scope).where(p.scope == "global", p.resumed_at.is_(None))
    if any(snapshot.rows(everything)):
        return
    ended = {row["resumed_at"] for row in snapshot.rows(select(p.resumed_at).where(p.scope == "global"))}
    for row in snapshot.rows(select(s.file_name, s.next_fire_at).where(s.next_fire_at.is_not(None))):
        # Also in a system at rest, the next one may have become due a moment ago.
        if snapshot.overdue(max([row["next_fire_at"], *ended]) + MARGIN):
            yield Violation(
                f"the schedule of DAG {row['file_name']} was due at {row['next_fire_at']:%Y-%m-%d %H:%M} UTC and is "
                "not decided",
                {"file_name": row["file_name"]},
            )


CHECKS = (_ledger, _late)
