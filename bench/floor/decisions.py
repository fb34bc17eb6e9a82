"""What the floor promises, and what it writes to Postgres for each batch of messages."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

__all__ = ["CREATE", "DETAILS", "Decision", "Promises", "Runs"]


class Promises(IntEnum):
    """What the floor promises. Each level includes those before it."""

    RUNS = 0
    """Starts, tasks and reports are in durable queues, and a run is answered when it has ended."""
    STARTS = 1
    """Users see what runs, and whether a worker that died had begun a step: a worker reports each start, and spawns the
    command when the broker has confirmed the report. Each step has a file for its output and one for its errors."""
    ALL = 2
    """Most of what else Dagway does for each run and step. Messages are signed, each command has a session of its own,
    and the answer has the details of the run, read from the database. The same transactions also write the steps that
    have not begun, each change of state, an entry in the audit log, the outcome of each command, the tasks that are
    still to be sent, and the output of each step."""


CREATE = """
CREATE TABLE floor_runs (id text PRIMARY KEY, body text NOT NULL, ended_at timestamptz);
CREATE TABLE floor_steps (
    run text, idx int, code int, began_at timestamptz, ended_at timestamptz, PRIMARY KEY (run, idx)
);
CREATE TABLE floor_changes (run text, idx int, state text, at timestamptz);
CREATE INDEX ON floor_changes (run);
CREATE TABLE floor_audit (id text PRIMARY KEY, what text, at timestamptz);
CREATE TABLE floor_commands (id text PRIMARY KEY, outcome text, at timestamptz);
CREATE TABLE floor_unsent (id text PRIMARY KEY, body bytea);
CREATE TABLE floor_outputs (run text, idx int, stream int, body text, PRIMARY KEY (run, idx, stream))
"""
_RUNS = "INSERT INTO floor_runs (id, body) VALUES {} ON CONFLICT DO NOTHING"
_PLANNED = "INSERT INTO floor_steps (run, idx) VALUES {} ON CONFLICT DO NOTHING"
_BEGUN = """
INSERT INTO floor_steps (run, idx, began_at) VALUES {} ON CONFLICT (run, idx) DO UPDATE SET began_at = excluded.began_at
"""
_STEPS = """
INSERT INTO floor_steps (run, idx, code, ended_at) VALUES {}
ON CONFLICT (run, idx) DO UPDATE SET code = excluded.code, ended_at = excluded.ended_at
"""
_ENDED = "UPDATE floor_runs SET ended_at = now() WHERE id IN ({})"
_CHANGES = "INSERT INTO floor_changes (run, idx, state, at) VALUES {}"
_AUDIT = "INSERT INTO floor_audit (id, what, at) VALUES {} ON CONFLICT DO NOTHING"
_COMMANDS = "INSERT INTO floor_commands (id, outcome, at) VALUES {} ON CONFLICT DO NOTHING"
_UNSENT = "INSERT INTO floor_unsent (id, body) VALUES {} ON CONFLICT DO NOTHING"
_SENT = "DELETE FROM floor_unsent WHERE id IN ({})"
_OUTPUTS = "INSERT INTO floor_outputs (run, idx, stream, body) VALUES {} ON CONFLICT DO NOTHING"
DETAILS = """
SELECT json_build_object('id', id, 'ended', ended_at, 'steps',
    (SELECT json_agg(each ORDER BY idx) FROM floor_steps AS each WHERE run = id))::text
FROM floor_runs WHERE id = %s
"""


@dataclass(slots=True)
class Decision:
    """What follows from a batch of messages: rows for each statement, tasks to send, and runs that have ended."""

    promises: Promises
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    rows: dict[str, list[tuple[Any, ...]]] = field(default_factory=lambda: defaultdict(list))
    tasks: list[tuple[str, int]] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def add(self, statement: str, *row: Any, since: Promises = Promises.RUNS) -> None:
        """Add a row for a statement, if the floor promises as much as ``since``."""
        if self.promises >= since:
            self.rows[statement].append(row)

    def write(self, cursor: Any, unsent: dict[str, bytes], sent: list[str]) -> None:
        """Write all rows by one text, with the tasks that are still to be sent, and those that are no longer."""
        for run in self.ended:
            self.add(_ENDED, run)
        for task, body in unsent.items():
            self.add(_UNSENT, task, body, since=Promises.ALL)
        for task in sent:
            self.add(_SENT, task, since=Promises.ALL)
        cursor.execute(b";".join(_with_values(cursor, statement, rows) for statement, rows in self.rows.items()))


class Runs:
    """The runs that have not ended, in memory. Each method adds what follows from a message to a decision."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[dict[str, Any], Any]] = {}
        """The start of each run, and the properties of its message."""
        self._left: dict[str, int] = {}
        """How many steps of a run have not ended."""

    def start(self, run: str, start: dict[str, Any], properties: Any, found: Decision) -> None:
        self.asked[run], self._left[run] = (start, properties), start["steps"]
        found.add(_RUNS, run, json.dumps(start))
        found.tasks += [(run, idx) for idx in range(1 if start["chain"] else start["steps"])]
        for idx in range(start["steps"] if found.promises is Promises.ALL else 0):
            found.add(_PLANNED, run, idx)
        found.add(_CHANGES, run, None, "running", found.at, since=Promises.ALL)
        found.add(_AUDIT, run, "start", found.at, since=Promises.ALL)
        found.add(_COMMANDS, run, "accepted", found.at, since=Promises.ALL)

    def report(self, report: dict[str, Any], found: Decision) -> None:
        """Take the report of a step's start, or of its end, which has a ``code``."""
        run, idx = report["run"], report["idx"]
        if "code" not in report:
            found.add(_BEGUN, run, idx, found.at)
            found.add(_CHANGES, run, idx, "running", found.at, since=Promises.ALL)
            return
        found.add(_STEPS, run, idx, report["code"], found.at)
        found.add(_CHANGES, run, idx, "ended", found.at, since=Promises.ALL)
        for stream, text in enumerate(report.get("output", ()), 1):
            if text:
                found.add(_OUTPUTS, run, idx, stream, text)
        self._left[run] -= 1
        if not self._left[run]:
            del self._left[run]
            found.ended.append(run)
            found.add(_CHANGES, run, None, "ended", found.at, since=Promises.ALL)
        elif self.asked[run][0]["chain"]:
            found.tasks.append((run, idx + 1))


def _with_values(cursor: Any, statement: str, rows: list[tuple[Any, ...]]) -> bytes:
    one = f"({', '.join(['%s'] * len(rows[0]))})"
    values: bytes = b", ".join(cursor.mogrify(one, row) for row in rows)
    return statement.encode().replace(b"{}", values)
