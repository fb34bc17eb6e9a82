"""What admission did, read from the log of transitions: how many ran at once, and who went before whom.

The order of the log is that of commits, as Postgres noted them (``track_commit_timestamp``). Neither the
moment a decision was made at nor the number of its transaction would do: an admission that waited for
its queue's lock counts runs that ended after it began.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from sqlalchemy import Engine, text

__all__ = ["Passage", "most_at_once", "overtakings", "passages"]

_PASSAGES = """
SELECT r.dag_run_id AS run_id, r.queue, r.priority, r.created_at, r.queued_at,
       enter.at AS looked_at,
       pg_xact_commit_timestamp(enter.txid::text::xid) AS entered,
       pg_xact_commit_timestamp(leave.txid::text::xid) AS left_at
FROM dag_runs r
LEFT JOIN transitions enter
  ON enter.run_key = r.run_key AND enter.node IS NULL AND enter.was = 'queued' AND enter.became = 'running'
LEFT JOIN transitions leave
  ON leave.run_key = r.run_key AND leave.node IS NULL AND leave.was = 'running' AND leave.became <> 'running'
ORDER BY r.queue, r.queued_at
"""


@dataclass(frozen=True, slots=True)
class Passage:
    """One run's way through its queue; a run that passes it twice has two.

    ``looked_at``: when the transaction that admitted it began, by the scheduler's clock. ``entered`` and
    ``left``: when what admitted it and what ended it were committed.
    """

    run_id: str
    queue: str
    priority: int
    created_at: datetime
    queued_at: datetime
    looked_at: datetime | None
    entered: datetime | None
    left: datetime | None


def passages(engine: Engine) -> list[Passage]:
    """Return the ways of all runs through their queues, in the order of queueing.

    Raises:
        sqlalchemy.exc.DBAPIError: the server does not track commit timestamps.
    """
    with engine.connect() as connection:
        return [Passage(*row) for row in connection.execute(text(_PASSAGES))]


def most_at_once(runs: Iterable[Passage]) -> dict[str, int]:
    """Return the most runs of each queue that were under way at one moment."""
    changes: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for run in runs:
        if run.entered is not None:
            changes[run.queue].append((run.entered, 1))
            if run.left is not None:
                changes[run.queue].append((run.left, -1))
    return {queue: _peak(mine) for queue, mine in changes.items()}


def _peak(changes: list[tuple[datetime, int]]) -> int:
    most = now = 0
    # Of one microsecond whoever leaves comes first: neither can have seen the other.
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def overtakings(runs: Iterable[Passage], known_at: Mapping[str, datetime]) -> Iterator[str]:
    """Yield each pair of a queue that was admitted in the wrong order.

    The right order: high before low, and within a priority as they were queued. The first of a pair must
    have been there to be chosen when the second was: recorded by the same transaction, or known to be
    recorded (``known_at``: when somebody was told so) before the admission of the second began. Of runs
    queued within ten minutes only: an older run of low priority may go before a high one.
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
