"""A whole system in this process, the acceptance cases, and what a case's check can see of its run."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from services.scheduler.main import Scheduler, SchedulerSettings
from services.worker.main import Worker, WorkerSettings
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode_as, encode
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS, Outgoing
from shared.transport.open import open_transport
from tests.harness.commands import named
from tests.harness.eventually import PATIENCE_S, eventually

__all__ = ["Case", "Seen", "World", "equal", "mend_and_retry", "ran", "states"]

Row = dict[str, Any]
_OVER = frozenset({"succeeded", "failed", "aborted", "partially_succeeded", "rejected"})


@dataclass(frozen=True)
class Case:
    """One row of the reference's acceptance table, or a part of a row.

    ``meanwhile`` is called while the run is active. ``files`` are written before the start of the run, to a
    folder for this case only; ``{dir}`` in the spec is its path.
    """

    row: str
    about: str
    spec: str
    check: Callable[["Seen"], None]
    params: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    meanwhile: Callable[["World", "Case"], None] | None = None
    queued: bool = False
    status: str = ""
    """The status that the run must end with; empty if ``check`` checks the status."""

    @property
    def dag(self) -> str:
        return self.row.lower().replace(" ", "-")

    @property
    def run_id(self) -> str:
        return f"run-{self.dag}"


class Seen:
    """A run as it is in the database."""

    def __init__(self, world: "World", run: Row, folder: Path) -> None:
        self.world = world
        self.run = run
        self.folder = folder
        self.nodes: dict[str, Row] = {row["name"]: row for row in world.rows(t.nodes, run_key=run["run_key"])}

    @property
    def status(self) -> str:
        return str(self.run["status"])

    def states(self) -> dict[str, str]:
        return {name: row["status"] for name, row in self.nodes.items() if row["kind"] == "step"}

    def log(self, step: str, stream: str = "stdout") -> str:
        """Return the output of a node's attempts in the newest attempt of the run."""
        node = self.nodes[step]
        chunks = self.world.rows(t.log_chunks, run_key=self.run["run_key"], node=node["idx"], stream=stream)
        mine = [row for row in chunks if row["run_attempt"] == self.run["run_attempt"]]
        mine.sort(key=lambda row: (row["number"], row["seq"]))
        return b"".join(row["data"] for row in mine).decode()

    def out(self, step: str) -> str:
        return self.log(step).strip()

    def seconds(self, step: str | None = None) -> float:
        row = self.run if step is None else self.nodes[step]
        return float((row["finished_at"] - row["started_at"]).total_seconds())

    def children(self) -> list["Seen"]:
        rows = self.world.rows(t.dag_runs, parent_key=self.run["run_key"])
        return [Seen(self.world, row, self.folder) for row in sorted(rows, key=lambda row: row["created_at"])]

    def json(self, step: str) -> Any:
        return json.loads(self.log(step))


class World:
    """One scheduler and two workers on a database and a transport, which may both be real servers.

    Only worker ``w2`` has the label ``gpu=true``; otherwise both workers are equal.
    """

    def __init__(
        self,
        database_url: str,
        transport_url: str,
        folder: Path,
        *,
        base_config: str = "",
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.folder = folder
        self.engine = open_engine(database_url, pool_size=30)
        self.deaths: list[str] = []
        self._transports = [open_transport(transport_url, name="acceptance")]
        self._transport = self._transports[0]
        eventually(lambda: self._transport.healthy)
        self._scheduler = Scheduler(
            Store(self.engine),
            self._transport,
            SchedulerSettings(version="test", lease_s=10, base_config=base_config),
            clock=clock,
            on_death=lambda: self.deaths.append("a scheduler thread"),
        )
        self._workers = [
            Worker(
                self._transport,
                WorkerSettings(worker_id=name, slots=100, data_dir=folder / name, labels=labels),
                on_failure=lambda: self.deaths.append("a guardian"),
            )
            for name, labels in (("w1", {}), ("w2", {"gpu": "true"}))
        ]
        self._scheduler.start()
        for worker in self._workers:
            worker.start()
        self._threads: list[threading.Thread] = []
        self._faults: list[str] = []

    def close(self) -> None:
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.stop()
        self._scheduler.stop()
        for transport in self._transports:
            transport.close()
        self.engine.dispose()
        assert self.deaths == []

    def stop_scheduler(self) -> None:
        """Stop the scheduler for good: nothing changes the database any more."""
        self._scheduler.stop()

    # -- acting -------------------------------------------------------------------------------

    def ask(self, command: c.Command) -> c.CommandReply:
        """Send a command and return its outcome."""
        command_id = new_run_id()
        body = encode(named(command), id=command_id, at=utc_now())
        asked = self._transport.request(Outgoing(COMMANDS, body, command_id))
        return decode_as(asked.reply(60), c.CommandReply)

    def must(self, command: c.Command) -> Row:
        reply = self.ask(command)
        assert reply.outcome == "recorded", reply.error
        return reply.result

    def begin(self, case: Case) -> None:
        """Write the case's files, store its DAG and start the run."""
        folder = self.dir(case)
        for name, text in case.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.must(c.CreateDag(file_name=case.dag, spec=self.spec(case)))
        command = c.EnqueueRun if case.queued else c.StartRun
        self.must(command(file_name=case.dag, dag_run_id=case.run_id, params=case.params))
        if case.meanwhile is not None:
            thread = threading.Thread(target=self._meanwhile, args=(case,))
            thread.start()
            self._threads.append(thread)

    def _meanwhile(self, case: Case) -> None:
        assert case.meanwhile is not None
        try:
            case.meanwhile(self, case)
        except AssertionError as fault:
            self._faults.append(f"{case.row}: {fault}")

    def spec(self, case: Case) -> str:
        return case.spec.replace("{dir}", str(self.dir(case)))

    def dir(self, case: Case) -> Path:
        folder = self.folder / "cases" / case.dag
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # -- seeing -------------------------------------------------------------------------------

    def rows(self, table: Any, **where: Any) -> list[Row]:
        query = select(table).where(*[table.c[name] == value for name, value in where.items()])
        with self.engine.begin() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def seen(self, case: Case, run_id: str = "") -> Seen:
        (row,) = self.rows(t.dag_runs, dag_name=case.dag, dag_run_id=run_id or case.run_id)
        return Seen(self, row, self.dir(case))

    def until(self, case: Case, *statuses: str, run_id: str = "", timeout_s: float = PATIENCE_S) -> Seen:
        """Wait until a run has one of these statuses, or has ended."""

        def there() -> Seen:
            seen = self.seen(case, run_id)
            assert seen.status in (statuses or _OVER), f"{case.row} is {seen.status}: {seen.states()}"
            return seen

        return eventually(there, timeout_s=timeout_s, every_s=0.05)

    def until_node(self, case: Case, step: str, status: str) -> Seen:
        def there() -> Seen:
            seen = self.seen(case)
            assert seen.nodes[step]["status"] == status, f"{case.row}: {step} is {seen.nodes[step]['status']}"
            return seen

        return eventually(there, every_s=0.05)

    def stop(self, case: Case) -> None:
        self.must(c.StopRun(dag_name=case.dag, dag_run_id=case.run_id))

    def ended(self, case: Case) -> Seen:
        """Wait until the case's run and its ``meanwhile`` have ended."""
        for thread in self._threads:
            thread.join(0 if case.meanwhile is None else 120)
        faults = [fault for fault in self._faults if fault.startswith(f"{case.row}:")]
        assert not faults, faults
        return self.until(case)


def states(**expected: str) -> Callable[[Seen], None]:
    """Return a check that the run has exactly these steps, in these states."""

    def check(seen: Seen) -> None:
        assert seen.states() == expected

    return check


def ran(seen: Seen) -> list[str]:
    """Return the handlers that ran, in the order of their start."""
    rows = [row for row in seen.nodes.values() if row["kind"] == "handler" and row["started_at"] is not None]
    return [row["name"] for row in sorted(rows, key=lambda row: row["started_at"])]


def mend_and_retry(world: World, case: Case) -> None:
    """Wait until the run has failed, create the file ``fixed``, and retry the run."""
    world.until(case, "failed")
    (world.dir(case) / "fixed").touch()
    world.must(c.RetryRun(dag_name=case.dag, dag_run_id=case.run_id))
    eventually(lambda: world.seen(case).run["run_attempt"] == 2)


def equal(found: object, expected: object) -> None:
    """Assert equality, for checks that are lambdas."""
    assert found == expected
