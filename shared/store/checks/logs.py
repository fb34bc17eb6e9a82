"""Checks of stored logs."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from sqlalchemy import Column, ColumnElement, and_, func, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from shared.status import AttemptState
from shared.store import tables as t
from shared.store.checks.base import StoreSnapshot, Violation, check

__all__ = ["CHECKS"]
_LOST = (
    "Look for dead letters of the queue for logs (`dagway dead-letters list`), and return them. If there are none, the "
    "rest is lost."
)


def _sent(chunk: ReadOnlyColumnCollection[str, Column[Any]]) -> ColumnElement[int]:
    """Return how many bytes of a chunk its worker sent. A used up quota has cut those that are not stored."""
    return func.length(chunk.data) + chunk.dropped


@check("log-contiguous", "I10", _LOST)
def _contiguous(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """The log chunks of a finished attempt have no gap and do not overlap."""
    c, a = t.log_chunks.c, t.attempts.c
    query = (
        select(c.token, c.stream, c.seq, c.offset, c.run_key, _sent(c).label("size"), a.finished_at)
        .join(t.attempts, a.token == c.token)
        .where(a.state == str(AttemptState.FINISHED))
        .order_by(c.token, c.stream, c.seq)
    )
    for (token, stream), chunks in groupby(snapshot.rows(query), key=lambda row: (row["token"], row["stream"])):
        expected, broken = (0, 0), False
        for row in chunks:
            # Only the first break of a log is reported. Chunks of one log may be on their way when the attempt ends.
            if (row["seq"], row["offset"]) != expected and not broken and snapshot.overdue(row["finished_at"]):
                broken = True
                yield Violation(
                    f"{stream} of attempt {token} goes on with chunk {row['seq']} at byte {row['offset']} instead of "
                    f"chunk {expected[0]} at byte {expected[1]}",
                    {"token": token, "run_key": row["run_key"]},
                )
            expected = (row["seq"] + 1, row["offset"] + row["size"])


@check("log-bytes", "I10", _LOST)
def _whole(snapshot: StoreSnapshot) -> Iterator[Violation]:
    """The stored log of a finished attempt has as many bytes as its worker reported, except what a quota has cut."""
    c, a = t.log_chunks.c, t.attempts.c
    for stream in ("stdout", "stderr"):
        reported = a[f"{stream}_bytes"]
        stored = (
            select(c.token, func.sum(_sent(c)).label("size")).where(c.stream == stream).group_by(c.token).subquery()
        )
        found = func.coalesce(stored.c.size, 0)
        query = (
            select(a.token, a.run_key, a.finished_at, reported.label("reported"), found.label("stored"))
            .select_from(t.attempts.outerjoin(stored, stored.c.token == a.token))
            # The scheduler itself writes the output of a step that only called runs: its worker reports 0 bytes.
            .where(and_(a.state == str(AttemptState.FINISHED), reported > 0, found != reported))
        )
        for row in snapshot.rows(query):
            if snapshot.overdue(row["finished_at"]):
                yield Violation(
                    f"{stream} of attempt {row['token']} has {row['stored']} bytes, its worker sent {row['reported']}",
                    {"token": row["token"], "run_key": row["run_key"]},
                )


CHECKS = (_contiguous, _whole)
