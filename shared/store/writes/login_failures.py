"""Reads and writes of failed logins in a transaction."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, or_, select, update

from shared.login_failures import Failures
from shared.store import tables as t
from shared.store.engine import for_update, insert_ignore
from shared.store.writes.base import Writer

__all__ = ["LoginFailureWrites"]

_f = t.login_failures.c


class LoginFailureWrites(Writer):
    """Failed logins by guesser. Times of ``Failures`` are in seconds since 1970."""

    def lock(self, guessers: Iterable[str], now: datetime) -> dict[str, Failures]:
        """Return and lock the failures of these guessers; those without any get a row."""
        known: dict[str, Failures] = {}
        missing = sorted(guessers)
        # Another transaction may forget a guesser after the insert, which locks no row that exists already.
        while missing:
            rows = [{"guesser": each, "level": 0.0, "at": now, "wait_until": now} for each in missing]
            self._connection.execute(insert_ignore(self._connection, t.login_failures), rows)
            query = select(t.login_failures).where(_f.guesser.in_(missing)).order_by(_f.guesser)
            for row in self._connection.execute(for_update(query)):
                known[row.guesser] = Failures(row.level, row.at.timestamp(), row.wait_until.timestamp())
            missing = [each for each in missing if each not in known]
        return known

    def save(self, failures: Mapping[str, Failures]) -> None:
        """Replace the failures of guessers that are locked."""
        rows = [
            {"key": guesser, "level": each.level, "at": _moment(each.at), "wait_until": _moment(each.wait_until)}
            for guesser, each in failures.items()
        ]
        if rows:
            self._connection.execute(update(t.login_failures).where(_f.guesser == bindparam("key")), rows)

    def forget(self, guessers: Iterable[str], *, before: datetime) -> None:
        """Delete the failures of these guessers, and all whose last one was before this time."""
        self._connection.execute(delete(t.login_failures).where(or_(_f.guesser.in_(list(guessers)), _f.at < before)))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
