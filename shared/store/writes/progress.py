"""Writing what steps say of themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from shared.store import tables as t
from shared.store.writes.transaction import Tx

__all__ = ["conversation", "keep_progress"]

Row = Mapping[str, Any]


def keep_progress(tx: Tx, rows: Sequence[Row]) -> None:
    """Keep of each node the newest of ``rows`` and of what is stored; their runs must be locked in ``tx``."""
    newest: dict[tuple[str, int], Row] = {}
    for row in rows:
        _keep(newest, row)
    if not newest:
        return
    given = dict(newest)
    query = select(t.progress).where(t.progress.c.run_key.in_({key for key, _ in newest}))
    for known in tx.connection.execute(query).mappings():
        if (known["run_key"], known["node"]) in newest:
            _keep(newest, dict(known))
    changed = [row for key, row in newest.items() if row is given[key]]
    tx.put(t.progress, changed, ["run_attempt", "number", "seq", "said", "at"])


def conversation(tx: Tx, run_key: str, nodes: Sequence[int]) -> list[dict[str, str]]:
    """Return what chat steps among ``nodes`` said, in the order of ``nodes``."""
    c = t.progress.c
    rows = tx.connection.execute(select(c.node, c.said).where(c.run_key == run_key, c.node.in_(nodes)))
    said = {row.node: row.said.get("messages", ()) for row in rows}
    return [message for node in nodes for message in said.get(node, ())]


def _keep(newest: dict[tuple[str, int], Row], row: Row) -> None:
    key = row["run_key"], row["node"]
    if key not in newest or _place(row) > _place(newest[key]):
        newest[key] = row


def _place(row: Row) -> tuple[int, int, int]:
    """Tries follow each other, and within one try the numbers of what it said."""
    return row["run_attempt"], row["number"], row["seq"]
