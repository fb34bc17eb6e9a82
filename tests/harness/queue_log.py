"""Check admission from the log of transitions: how many runs were active at once, and in which order.

Transitions are ordered by Postgres's commit timestamps (``track_commit_timestamp``). The time of a decision
or the number of its transaction would be wrong: an admission that waited for its queue's lock counts runs
that ended after the admission's transaction began.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from sqlalchemy import Engine, text

__all__ = ["Passage", "most_at_once", "overtakings", "passages", "watch_admissions"]

_WATCH = """
SET TRANSACTION READ WRITE;
CREATE TABLE admissions (txid bigint PRIMARY KEY, began_at timestamptz);
CREATE FUNCTION note_admission() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
  INSERT INTO public.admissions VALUES (NEW.txid, transaction_timestamp()) ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER note_admission AFTER INSERT ON transitions FOR EACH ROW
  WHEN (NEW.node IS NULL AND NEW.was = 'queued' AND NEW.became = 'running') EXECUTE FUNCTION note_admission();
"""

_PASSAGES = """
SELECT r.dag_run_id AS run_id, r.queue, r.priority, r.created_at, r.queued_at,
       begun.began_at AS looked_at,
       pg_xact_commit_timestamp(enter.txid::text::xid) AS entered,
       pg_xact_commit_timestamp(leave.txid::text::xid) AS left_at
FROM dag_runs r
LEFT JOIN transitions enter
  ON enter.run_key = r.run_key AND enter.node IS NULL AND enter.was = 'queued' AND enter.became = 'running'
LEFT JOIN admissions begun ON begun.txid = enter.txid
LEFT JOIN transitions leave
  ON leave.run_key = r.run_key AND leave.node IS NULL AND leave.was = 'running' AND leave.became <> 'running'
ORDER BY r.queue, r.queued_at
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """The passage of one run through its queue; a run that is queued twice has two passages.

    ``looked_at`` is the start of the transaction that admitted the run: what was recorded before, it could see. The
    time of its decision is later. ``entered`` and ``left`` are the commit times of the admission and of the end.
    """

    run_id: str
    queue: str
    priority: int
    created_at: datetime
    queued_at: datetime
    looked_at: datetime | None
    entered: datetime | None
    left: datetime | None


def watch_admissions(engine: Engine) -> None:
    """Let Postgres note the start of each transaction that admits runs, for ``passages``."""
    with engine.begin() as connection:
        connection.execute(text(_WATCH))


def passages(engine: Engine) -> list[Passage]:
    """Return the passages of all runs through their queues since ``watch_admissions``, in the order of queueing.

    Raises:
        sqlalchemy.exc.DBAPIError: the server does not track commit timestamps.
    """
    with engine.connect() as connection:
        return [Passage(*row) for row in connection.execute(text(_PASSAGES))]


def most_at_once(runs: Iterable[Passage]) -> dict[str, int]:
    """Return, for each queue, the highest number of runs that were active at the same time."""
    changes: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for run in runs:
        if run.entered is not None:
            changes[run.queue].append((run.entered, 1))
            if run.left is not None:
                changes[run.queue].append((run.left, -1))
    return {queue: _peak(mine) for queue, mine in changes.items()}


def _peak(changes: list[tuple[datetime, int]]) -> int:
    most = now = 0
    # Within one microsecond, ends count before admissions: neither transaction can have seen the other.
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def overtakings(runs: Iterable[Passage], known_at: Mapping[str, datetime]) -> Iterator[str]:
    """Yield each pair of runs of a queue that was admitted in the wrong order.

    The right order is: high priority before low, and within a priority by the time of queueing. A pair counts
    only if the run that should be first was already available when the other run was admitted: recorded by the
    same transaction, or reported as recorded (at ``known_at``) before the other's admission began. Only runs
    queued within ten minutes are compared, since an older run of low priority may go before a high one.
    """
    lines: dict[str, list[Passage]] = defaultdict(list)
    for run in runs:
        lines[run.queue].append(run)
    for line in lines.values():
        line.sort(key=lambda run: (-run.priority, run.queued_at))
        for first, second in combinations(line, 2):
            if second.entered is None or second.looked_at is None:
                continue
            told_at = known_at.get(first.run_id)
            there = first.created_at == second.created_at or (told_at is not None and told_at <= second.looked_at)
            if there and (first.entered is None or first.entered > second.entered):
                yield f"{first.queue}: {second.run_id} entered before {first.run_id}, told {told_at}: {second}, {first}"
