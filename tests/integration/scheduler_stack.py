"""Schedulers on a real store and a real transport, with a scripted worker."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from services.scheduler.deciding.dag_folder.dag_files import DagFiles
from services.scheduler.loops.folder import ANSWER_S
from services.scheduler.main import Scheduler, SchedulerSettings
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode_as, encode
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.time_limits import NO_LIMITS, TimeLimits
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS, Outgoing, Transport
from tests.harness.commands import named
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.scripted_worker import ScriptedWorker

__all__ = ["Stack"]


class Stack:
    """What a test needs to drive one or more schedulers."""

    def __init__(
        self, database_url: str, open_transport: Callable[[], Transport], *, limits: TimeLimits = NO_LIMITS
    ) -> None:
        self.engine: Engine = open_engine(database_url, pool_size=30, limits=limits)
        # On SQLite every transaction of the other engine waits for its turn to write.
        self._reading: Engine = open_engine(database_url, read_only=True)
        self.transport = open_transport()
        self._schedulers: list[Scheduler] = []
        self.deaths: list[str] = []
        eventually(lambda: self.transport.healthy)
        self.worker = ScriptedWorker(self.transport)

    def scheduler(
        self,
        *,
        lease_s: float = PATIENCE_S,
        dags_dir: Path | None = None,
        dag_files: DagFiles | None = None,
        dags_answer_s: float = ANSWER_S,
        shards: bool = False,
        version: str = "test",
        clock: Callable[[], datetime] = utc_now,
    ) -> Scheduler:
        """Start another scheduler.

        The scripted worker sends no heartbeats, so it is lost after ``lease_s``: by default not while a test waits.
        """
        made = Scheduler(
            Store(self.engine),
            self.transport,
            SchedulerSettings(
                version=version,
                lease_s=lease_s,
                dags_dir=dags_dir,
                dag_files=dag_files,
                dags_answer_s=dags_answer_s,
                shards=shards,
            ),
            clock=clock,
            on_death=lambda: self.deaths.append("a thread died"),
        )
        self._schedulers.append(made)
        made.start()
        return made

    def stop_schedulers(self) -> None:
        while self._schedulers:
            self._schedulers.pop().stop()

    def close(self) -> None:
        self.stop_schedulers()
        self.transport.close()
        self._reading.dispose()
        self.engine.dispose()
        assert self.deaths == []

    def ask(self, command: c.Command, command_id: str = "") -> c.CommandReply:
        """Send a command and return its recorded outcome."""
        command_id = command_id or new_run_id()
        body = encode(named(command), id=command_id, at=utc_now())
        asked = self.transport.request(Outgoing(COMMANDS, body, command_id))
        return decode_as(asked.reply(60), c.CommandReply)

    def dag(self, name: str, spec: str) -> None:
        reply = self.ask(c.CreateDag(file_name=name, spec=spec))
        assert reply.outcome == "recorded", reply.error

    def start(self, dag: str, run_id: str = "r1", **facts: Any) -> c.CommandReply:
        return self.ask(c.StartRun(file_name=dag, dag_run_id=run_id, **facts))

    def rows(self, table: Any, **where: Any) -> list[dict[str, Any]]:
        query = select(table).where(*[table.c[name] == value for name, value in where.items()])
        with self._reading.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def run(self, run_id: str = "r1") -> dict[str, Any]:
        return self.rows(t.dag_runs, dag_run_id=run_id)[0]

    def nodes(self, run_id: str = "r1") -> dict[str, str]:
        key = self.run(run_id)["run_key"]
        return {row["name"]: row["status"] for row in self.rows(t.nodes, run_key=key)}

    def until(self, status: str, run_id: str = "r1", timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """Wait for a run's status and return its row."""

        def there() -> dict[str, Any]:
            row = self.run(run_id)
            assert row["status"] == status, f"{run_id} is {row['status']}, nodes {self.nodes(run_id)}"
            return row

        return eventually(there, timeout_s=timeout_s)
