"""Creates or drops an index of a large table while others write to it."""

from collections.abc import Sequence
from typing import Any

from alembic import op

__all__ = ["create_index_online", "drop_index_online"]


def create_index_online(name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
    """Create an index; on Postgres outside of a transaction and without a lock that writers would wait for.

    What the revision did before is committed first. So a revision that fails here is tried again from its beginning:
    put this first. An invalid index, which a failed attempt leaves, is replaced.
    """
    context = op.get_context()
    if context.dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    drop_index_online(name, table)
    with context.autocommit_block():
        # It waits for all transactions that may still write to the table, however long they take.
        op.execute("SET lock_timeout = 0")
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)
        op.execute("RESET lock_timeout")


def drop_index_online(name: str, table: str) -> None:
    """Drop an index, if it exists, in the same way."""
    context = op.get_context()
    if context.dialect.name != "postgresql":
        op.drop_index(name, table_name=table, if_exists=True)
        return
    with context.autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
        op.execute("RESET lock_timeout")
