"""Schedulers without threads that fire schedules. A test sets the clock."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import update

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS
from tests.integration.scheduler_stack import Stack

__all__ = ["STEPS", "T0", "Rig"]

STEPS = "steps:\n  - echo hi\n"
T0 = datetime(2026, 11, 24, 11, 59, 30, tzinfo=UTC)


class Rig:
    """Schedulers without threads. The test sets the clock and triggers each pass of a scheduler."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.now = T0
        stack.transport.declare([COMMANDS])
        self.one, self.two = self.another(), self.another()

    def another(self, version: str = "", base: str = "") -> Assembly:
        memory = SchedulerMemory(Plans(base, version))
        return Assembly(Store(self.stack.engine), self.stack.transport, memory, lambda: self.now, ZoneInfo("UTC"))

    def dag(self, name: str, spec: str) -> None:
        command = c.CreateDag(file_name=name, spec=spec + STEPS)
        self.one.transactor.decide(lambda batch: handle(batch, command))
        self.one.firing.adopt()

    def at(self, clock: str, *, day: int = 0, by: Assembly | None = None) -> int:
        """Set the clock and let one scheduler do one pass."""
        hour, minute, *second = (int(part) for part in clock.split(":"))
        moment = T0.replace(hour=hour, minute=minute, second=second[0] if second else 0)
        self.now = moment + timedelta(days=day)
        return (by or self.one).firing.fire_due()

    def ledger(self, name: str = "a") -> list[tuple[str, str, str]]:
        rows = sorted(self.stack.rows(t.cron_slots, file_name=name), key=lambda row: (row["slot_at"], row["kind"]))
        return [(f"{row['slot_at']:%H:%M}", row["kind"], row["outcome"]) for row in rows]

    def reasons(self, name: str = "a") -> list[str]:
        rows = sorted(self.stack.rows(t.cron_slots, file_name=name), key=lambda row: (row["slot_at"], row["kind"]))
        return [row["reason"] for row in rows]

    def runs(self) -> list[tuple[str, str]]:
        rows = sorted(self.stack.rows(t.dag_runs), key=lambda row: row["created_at"])
        return [(row["dag_run_id"], row["status"]) for row in rows]

    def end(self, status: str = "succeeded") -> None:
        """End all running runs."""
        with self.stack.engine.begin() as connection:
            running = t.dag_runs.c.status == "running"
            connection.execute(update(t.dag_runs).where(running).values(status=status, finished_at=self.now))

    def queue(self, command: Any) -> None:
        self.one.transactor.decide(lambda batch: handle(batch, command))
        self.one.firing.adopt()
