"""Reads and writes of the mirrored dead letters in a transaction."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import delete, select, update

from shared.store import tables as t
from shared.store.writes.base import FoundRow, NewRow, Writer

__all__ = ["DeadLetterWrites"]


class DeadLetterWrites(Writer):
    """Reads and writes of dead letters. Only a scheduler that has listed the broker's letters replaces them."""

    def lock(self, letter_id: str) -> FoundRow | None:
        """Lock a dead letter and return it."""
        return self._first(select(t.dead_letters).where(t.dead_letters.c.id == letter_id).with_for_update())

    def decide(self, letter_id: str, decision: str, *, by: str) -> None:
        """Record what is to be done with a letter, instead of an earlier decision that is not carried out yet."""
        values = {"decision": decision, "decided_by": by, "failure": ""}
        self._connection.execute(update(t.dead_letters).where(t.dead_letters.c.id == letter_id).values(values))

    def decided(self) -> dict[str, str]:
        """Return the decisions that are not carried out yet, by letter."""
        c = t.dead_letters.c
        return {row["id"]: row["decision"] for row in self._rows(select(c.id, c.decision).where(c.decision != ""))}

    def replace(
        self, rows: Sequence[NewRow], *, settled: Collection[str], unseen: Collection[str], failures: Mapping[str, str]
    ) -> None:
        """Make ``rows``, and the known letters ``unseen``, all letters that there are.

        A letter that was known keeps its time and its decision, unless that was carried out (``settled``): then it is
        a new letter with the same message. The decisions of ``failures`` end, for the reason given.
        """
        c = t.dead_letters.c
        present = [*(row["id"] for row in rows), *unseen]
        # In this order: a letter that was returned may be among the present ones again.
        self._connection.execute(delete(t.dead_letters).where(c.id.in_(list(settled)) | c.id.not_in(present)))
        self._put(t.dead_letters, rows, ["place", "reason"])
        for letter_id, why in failures.items():
            values = {"decision": "", "decided_by": "", "failure": why}
            self._connection.execute(update(t.dead_letters).where(c.id == letter_id).values(values))
