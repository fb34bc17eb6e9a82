"""Stores what steps report while they run: progress, remarks and chat messages."""

from collections.abc import Sequence

from sqlalchemy import select

from shared.store import tables as t
from shared.store.writes.base import NewRow, Writer

__all__ = ["ProgressWrites"]


class ProgressWrites(Writer):
    """Reads and writes of progress, remarks and chat messages of nodes."""

    def keep(self, rows: Sequence[NewRow]) -> None:
        """Store, for each node, the newest of ``rows``, unless a newer one is stored. The runs must be locked."""
        newest: dict[tuple[str, int], NewRow] = {}
        for row in rows:
            _keep_newer(newest, row)
        if not newest:
            return
        given = dict(newest)
        for known in self._rows(select(t.progress).where(t.progress.c.run_key.in_({key for key, _ in newest}))):
            if (known["run_key"], known["node"]) in newest:
                _keep_newer(newest, known)
        changed = [row for key, row in newest.items() if row is given[key]]
        self._put(t.progress, changed, ["run_attempt", "number", "seq", "said", "at"])

    def messages(self, run_key: str, nodes: Sequence[int]) -> dict[int, list[dict[str, str]]]:
        """Return the chat messages of each of ``nodes`` that has some."""
        c = t.progress.c
        rows = self._connection.execute(select(c.node, c.said).where(c.run_key == run_key, c.node.in_(nodes)))
        return {row.node: row.said["messages"] for row in rows if row.said.get("messages")}


def _keep_newer(newest: dict[tuple[str, int], NewRow], row: NewRow) -> None:
    key = row["run_key"], row["node"]
    if key not in newest or _place(row) > _place(newest[key]):
        newest[key] = row


def _place(row: NewRow) -> tuple[int, int, int]:
    """Return the sort key of a report: run attempt, number of the attempt, number of the report in the attempt."""
    return row["run_attempt"], row["number"], row["seq"]
