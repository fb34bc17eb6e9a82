"""Deletes spec texts that nothing refers to any more, some time after the last reference went away."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, or_, select, update

from shared.store import tables as t
from shared.store.engine import for_update
from shared.store.writes.base import Writer

__all__ = ["SpecWrites"]

_c = t.specs.c
_USED: ColumnElement[bool] = or_(
    *(exists().where(table.c.spec_hash == _c.hash) for table in (t.dag_runs, t.dags, t.dag_versions, t.callable_files))
)


class SpecWrites(Writer):
    """Marks, unmarks and deletes unused spec texts. Whoever stores a text again removes its mark (``add_specs``).

    The mark leaves time to those who know that a text is stored but have not committed their reference to it.
    """

    def mark_unused(self, behind: str, now: datetime, limit: int) -> str | None:
        """Mark the unused among the next ``limit`` texts by hash, and unmark the used.

        Returns the last hash, for ``behind`` of the next call, or ``None`` after the last text.
        """
        page = list(
            self._connection.execute(select(_c.hash).where(_c.hash > behind).order_by(_c.hash).limit(limit)).scalars()
        )
        if page:
            here = _c.hash.between(page[0], page[-1])
            self._set(now, here, _c.unused_since.is_(None), ~_USED)
            self._set(None, here, _c.unused_since.is_not(None), _USED)
        return page[-1] if len(page) == limit else None

    def _set(self, since: datetime | None, *where: ColumnElement[bool]) -> None:
        self._connection.execute(update(t.specs).where(*where).values(unused_since=since))

    def delete_unused(self, before: datetime, limit: int) -> int:
        """Delete up to ``limit`` texts that have been unused since ``before``; return how many were found.

        Skips locked texts: another transaction has just stored one again, or refers to it.
        """
        found: Any = select(_c.hash).where(_c.unused_since < before, ~_USED).order_by(_c.hash).limit(limit)
        hashes = list(self._connection.execute(for_update(found, skip_locked=True)).scalars())
        if hashes:
            # Asked again: a reference may have been committed after the first question and before the lock.
            self._connection.execute(delete(t.specs).where(_c.hash.in_(hashes), ~_USED))
        return len(hashes)
