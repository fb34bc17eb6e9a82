"""Copy everything in one database to another with the same schema, on SQLite or Postgres."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, Engine, Table, exists, func, select, update

from shared.errors import ConfigInvalid
from shared.status import RunStatus
from shared.store import tables as t
from shared.store.engine import is_postgres, transaction
from shared.store.functions import transaction_number

__all__ = ["Begun", "Copied", "copy_database", "running_runs"]

_BATCH = 2000
Begun = Literal["", "pending", "done"]
"""What is known of an earlier copy to the same target: none, one that may have been committed, or one that was."""
_STAYS = frozenset({"services", "counters", "removed_changes", "run_totals", "run_totals_mark"})
"""Tables about the processes and transactions of one database. A scheduler counts the runs in the other one anew."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows of each table were copied; ``before``: they were there already, and nothing was done."""

    rows: Mapping[str, int]
    before: bool = False


class _Undone(Exception):
    """Ends a transaction that changes nothing."""


def running_runs(source: Engine) -> int:
    """Return how many runs are running. Raises ``StoreUnavailable``."""
    with transaction(source) as old:
        query = select(func.count()).select_from(t.dag_runs).where(t.dag_runs.c.status == RunStatus.RUNNING)
        return int(old.execute(query).scalar_one())


def copy_database(source: Engine, target: Engine, before_commit: Callable[[], None] | None, *, begun: Begun) -> Copied:
    """Copy every row in one transaction: all of them arrive, or none. Without ``before_commit``, none.

    ``begun``: if an earlier copy was done and the target has rows, nothing is done now. If it is not known whether it
    was, the target tells: it has an audit entry or a run of the source, or as many rows as a source without these.

    Raises:
        ConfigInvalid: the target has rows that are not from here.
        StoreUnavailable: a database is unavailable.
    """
    copied = Copied({})
    try:
        with transaction(source) as old, transaction(target) as new:
            copied = _copy(old, new, target.url.render_as_string(hide_password=True), begun)
            if before_commit is None or copied.before:
                raise _Undone
            before_commit()
    except _Undone:
        pass
    return copied


def _copy(old: Connection, new: Connection, shown: str, begun: Begun) -> Copied:
    tables = [table for table in t.metadata.sorted_tables if table.name not in _STAYS]
    filled = [table.name for table in tables if new.execute(select(exists().select_from(table))).scalar_one()]
    if filled and begun:
        sizes = {table.name: _size(old, table) for table in tables}
        if begun == "done" or _arrived(old, new, sizes):
            return Copied(sizes, before=True)
    if filled:
        raise ConfigInvalid(
            f"the database {shown} has data of its own ({', '.join(filled[:5])}): move to a new one, and start its "
            "services afterwards"
        )
    rows = {table.name: _copy_table(old, new, table) for table in tables}
    _number_transitions(new)
    return Copied(rows)


def _arrived(old: Connection, new: Connection, sizes: Mapping[str, int]) -> bool:
    """Whether the target has the rows of the source. It may have changed them since, and added others."""
    for key in (t.audit.c.id, t.dag_runs.c.run_key):  # both are random: no other installation has the same
        if (one := old.execute(select(func.max(key))).scalar()) is not None:
            return bool(new.execute(select(exists().where(key == one))).scalar_one())
    return all(_size(new, table) == sizes[table.name] for table in t.metadata.sorted_tables if table.name in sizes)


def _size(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _copy_table(old: Connection, new: Connection, table: Table) -> int:
    count = 0
    order = (t.transitions.c.txid, t.transitions.c.pos) if table is t.transitions else table.primary_key.columns
    for rows in old.execute(select(table).order_by(*order)).mappings().partitions(_BATCH):
        values = [dict(row) for row in rows]
        if table is t.transitions:
            # One transaction writes them here, so the place of each in it is its place in the stream.
            values = [row | {"pos": count + place} for place, row in enumerate(values)]
        new.execute(table.insert(), values)
        count += len(values)
    return count


def _number_transitions(new: Connection) -> None:
    """Give all transitions the number of this transaction: those that come after it have higher numbers."""
    if not is_postgres(new):
        new.execute(update(t.counters).values(value=t.counters.c.value + 1))
    new.execute(update(t.transitions).values(txid=transaction_number()))
