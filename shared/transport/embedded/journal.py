"""The embedded transport's memory: accepted SAFE messages and all dead letters, in one SQLite file.

One thread writes. Messages handed over while a commit runs share the next one, so many senders cost
about as much as one. An acknowledgement is written with the next batch, or a fifth of a second later: a
message acknowledged just before a crash may come back, as at-least-once allows.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shared.errors import BrokerUnavailable

__all__ = ["Journal", "StoredDeadLetter", "StoredMessage"]

_LAZY_S = 0.2
_IN_USE, _CLOSED = 1, 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY, route TEXT NOT NULL, message_id TEXT NOT NULL, body BLOB NOT NULL,
    returns INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS dead (
    seq INTEGER PRIMARY KEY, route TEXT NOT NULL, durability TEXT NOT NULL, expires_s INTEGER,
    message_id TEXT NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL
);
"""


class StoredMessage(NamedTuple):
    """A message of a SAFE queue. ``seq`` rises by the order of sending."""

    seq: int
    queue: str
    message_id: str
    body: bytes
    returns: int


class StoredDeadLetter(NamedTuple):
    """A dead letter as stored."""

    seq: int
    queue: str
    durability: str
    expires_s: int | None
    message_id: str
    body: bytes
    reason: str


class Journal:
    """``path=None`` keeps nothing: everything is accepted at once and forgotten at the end."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(_SCHEMA)
            if self._db.execute("PRAGMA user_version").fetchone() == (_IN_USE,):
                # Nobody closed it: any message may have been delivered, and may be what killed us.
                self._db.execute("UPDATE messages SET returns = returns + 1")
            self._db.execute(f"PRAGMA user_version = {_IN_USE}")
        except sqlite3.Error as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            why = "another dagway uses this folder" if busy else error
            raise BrokerUnavailable(f"journal {path} cannot be opened: {why}") from error
        self.found = [StoredMessage(*row) for row in self._db.execute("SELECT * FROM messages ORDER BY seq")]
        self.dead = [StoredDeadLetter(*row) for row in self._db.execute("SELECT * FROM dead ORDER BY seq")]
        self.last_seq = max([0, *(row.seq for row in self.found), *(row.seq for row in self.dead)])
        self._work = threading.Condition()
        self._added: list[tuple[StoredMessage, Callable[[BaseException | None], None]]] = []
        self._returned: dict[int, int] = {}
        self._removed: list[int] = []
        self._buried: list[StoredDeadLetter] = []
        self._unburied: list[int] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def add(self, message: StoredMessage, then: Callable[[BaseException | None], None]) -> None:
        """Store; ``then`` is called on the journal's thread once it is on disk, or with what failed."""
        with self._work:
            self._added.append((message, then))
            self._work.notify()

    def remove(self, seq: int) -> None:
        """Forget a message that was acknowledged."""
        with self._work:
            self._removed.append(seq)
            self._work.notify()

    def returned(self, seq: int, returns: int) -> None:
        """Remember how often a message came back."""
        with self._work:
            self._returned[seq] = returns
            self._work.notify()

    def add_dead_letter(self, letter: StoredDeadLetter) -> None:
        """Keep a dead letter and forget the message in the same commit."""
        with self._work:
            self._buried.append(letter)
            self._work.notify()

    def remove_dead_letter(self, seq: int) -> None:
        """Forget a dead letter that was sent again."""
        with self._work:
            self._unburied.append(seq)
            self._work.notify()

    def close(self) -> None:
        """Write what is left and close the file."""
        with self._work:
            self._closing = True
            self._work.notify()
        self._thread.join()

    def _urgent(self) -> bool:
        return bool(self._added or self._buried or self._unburied or self._closing)

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._work:
                self._work.wait_for(lambda: self._urgent() or self._removed or self._returned)
                self._work.wait_for(self._urgent, _LAZY_S)
                closing = self._closing
                added, self._added = self._added, []
                returned, self._returned = self._returned, {}
                removed, self._removed = self._removed, []
                buried, self._buried = self._buried, []
                unburied, self._unburied = self._unburied, []
            error = self._write([message for message, _ in added], returned, removed, buried, unburied)
            for _, then in added:
                then(error)
        with contextlib.suppress(sqlite3.Error):
            self._db.execute(f"PRAGMA user_version = {_CLOSED}")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def _write(
        self,
        added: list[StoredMessage],
        returned: dict[int, int],
        removed: list[int],
        buried: list[StoredDeadLetter],
        unburied: list[int],
    ) -> BaseException | None:
        """Commit one batch; on failure nothing of it is stored, and removals are tried again."""
        if not (added or returned or removed or buried or unburied):
            return None
        gone = [(seq,) for seq in removed] + [(letter.seq,) for letter in buried]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", added)
            self._db.executemany("UPDATE messages SET returns = ? WHERE seq = ?", [(n, s) for s, n in returned.items()])
            self._db.executemany("DELETE FROM messages WHERE seq = ?", gone)
            self._db.executemany("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", buried)
            self._db.executemany("DELETE FROM dead WHERE seq = ?", [(seq,) for seq in unburied])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            with self._work:
                self._removed += removed
                self._buried = buried + self._buried
                self._unburied += unburied
            return error
        return None
