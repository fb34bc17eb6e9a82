"""The embedded transport's storage: accepted messages of SAFE queues and all dead letters, in one SQLite file.

One thread writes. All messages that arrive during a commit are written by the next commit, so many senders cost about
as much as one. An acknowledgement is written with the next commit, at most 0.2 s later. So a message that was
acknowledged just before a crash may be delivered again, as at-least-once delivery allows.

A patient message is written only if nobody acknowledges it for a second: whoever acknowledges a message has stored what
matters of it.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shared.errors import BrokerUnavailable
from shared.private_files import private_file

__all__ = ["Journal", "StoredDeadLetter", "StoredMessage"]

_LAZY_S = 0.2
_PATIENT_S = 1.0
_IN_USE, _CLOSED = 1, 2
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY, route TEXT NOT NULL, message_id TEXT NOT NULL, body BLOB NOT NULL,
    returns INTEGER NOT NULL DEFAULT 0
)
""",
    """
CREATE TABLE IF NOT EXISTS dead (
    seq INTEGER PRIMARY KEY, route TEXT NOT NULL, durability TEXT NOT NULL, expires_s INTEGER,
    message_id TEXT NOT NULL, body BLOB NOT NULL, reason TEXT NOT NULL
)
""",
)


class StoredMessage(NamedTuple):
    """A message of a SAFE queue. ``seq`` increases in the order of sending; ``returns``: how often it came back."""

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


Ended = Callable[[BaseException | None], None]
"""Called by the journal when a message is safe: with ``None``, or with the error."""


def _opened(path: Path | None) -> sqlite3.Connection:
    """Open the database for this process alone, and note that it is in use."""
    db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        with db:
            # One transaction, as each waits for the disk.
            db.execute("BEGIN IMMEDIATE")
            for table in _TABLES:
                db.execute(table)
            if db.execute("PRAGMA user_version").fetchone() == (_IN_USE,):
                # The last process did not close the journal. It may have delivered any of the messages, and any of
                # them may have caused the crash.
                db.execute("UPDATE messages SET returns = returns + 1")
            db.execute(f"PRAGMA user_version = {_IN_USE}")
    except BaseException:
        db.close()
        raise
    return db


class Journal:
    """Stores messages and dead letters. Without ``path`` they are kept in memory and lost when the process ends.

    Raises:
        BrokerUnavailable: the file cannot be opened, or another process uses it.
    """

    def __init__(self, path: Path | None) -> None:
        try:
            if path is not None:
                private_file(path)
            self._db = _opened(path)
        except (sqlite3.Error, OSError) as error:
            busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            why = (
                "another dagway uses this folder: stop it, or give this one another DAGWAY_DATA_DIR" if busy else error
            )
            raise BrokerUnavailable(f"the journal {path} cannot be opened: {why}") from error
        self.found = [StoredMessage(*row) for row in self._db.execute("SELECT * FROM messages ORDER BY seq")]
        self.dead = [StoredDeadLetter(*row) for row in self._db.execute("SELECT * FROM dead ORDER BY seq")]
        self.last_seq = max([0, *(row.seq for row in self.found), *(row.seq for row in self.dead)])
        self._work = threading.Condition()
        self._added: list[tuple[StoredMessage, Ended]] = []
        self._patient: dict[int, tuple[StoredMessage, Ended, float]] = {}
        """By number, oldest first: patient messages that are not written, each with the time of its addition."""
        self._returned: dict[int, int] = {}
        self._removed: list[int] = []
        self._dead_letters: list[StoredDeadLetter] = []
        self._resent: list[int] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def add(self, message: StoredMessage, then: Ended, *, patient: bool = False) -> None:
        """Store a message, and then call ``then`` on the journal's thread.

        A ``patient`` message is stored only if it is not removed soon; ``remove`` then calls ``then``.
        """
        with self._work:
            if patient:
                self._patient[message.seq] = message, then, time.monotonic()
            else:
                self._added.append((message, then))
            self._work.notify()

    def remove(self, seq: int) -> None:
        """Delete an acknowledged message."""
        with self._work:
            unwritten = self._patient.pop(seq, None)
            if unwritten is None:
                self._removed.append(seq)
                self._work.notify()
        if unwritten is not None:
            unwritten[1](None)

    def returned(self, seq: int, returns: int) -> None:
        """Store that a message has come back ``returns`` times."""
        with self._work:
            self._write_soon(seq)
            self._returned[seq] = returns
            self._work.notify()

    def add_dead_letter(self, letter: StoredDeadLetter) -> None:
        """Store a dead letter, and delete its message in the same commit."""
        with self._work:
            self._write_soon(letter.seq)
            self._dead_letters.append(letter)
            self._work.notify()

    def remove_dead_letter(self, seq: int) -> None:
        """Delete a dead letter that was sent again."""
        with self._work:
            self._resent.append(seq)
            self._work.notify()

    def close(self) -> None:
        """Write all that is not written yet, and close the file."""
        with self._work:
            self._closing = True
            self._work.notify()
        self._thread.join()

    def _write_soon(self, seq: int) -> None:
        if (unwritten := self._patient.pop(seq, None)) is not None:
            self._added.append(unwritten[:2])

    def _urgent(self) -> bool:
        return bool(self._added or self._dead_letters or self._resent or self._closing)

    def _run(self) -> None:
        closing = False
        while not closing:
            with self._work:
                self._work.wait_for(lambda: self._urgent() or self._removed or self._returned or self._patient)
                self._work.wait_for(self._urgent, _LAZY_S)
                closing = self._closing
                due_s = float("inf") if closing else time.monotonic() - _PATIENT_S
                for seq in [seq for seq, (*_, added_s) in self._patient.items() if added_s <= due_s]:
                    self._write_soon(seq)
                added, self._added = self._added, []
                returned, self._returned = self._returned, {}
                removed, self._removed = self._removed, []
                dead, self._dead_letters = self._dead_letters, []
                resent, self._resent = self._resent, []
            error = self._write([message for message, _ in added], returned, removed, dead, resent)
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
        dead: list[StoredDeadLetter],
        resent: list[int],
    ) -> BaseException | None:
        """Write everything in one transaction. Return the error if it fails.

        After an error nothing is stored. Deletions and dead letters are written by the next commit; the added messages
        and the counts of returns are not.
        """
        if not (added or returned or removed or dead or resent):
            return None
        gone = [(seq,) for seq in removed] + [(letter.seq,) for letter in dead]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?)", added)
            self._db.executemany("UPDATE messages SET returns = ? WHERE seq = ?", [(n, s) for s, n in returned.items()])
            self._db.executemany("DELETE FROM messages WHERE seq = ?", gone)
            self._db.executemany("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", dead)
            self._db.executemany("DELETE FROM dead WHERE seq = ?", [(seq,) for seq in resent])
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            with self._work:
                self._removed += removed
                self._dead_letters = dead + self._dead_letters
                self._resent += resent
            return error
        return None
