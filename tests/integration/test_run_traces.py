"""The trace of a run that a schedule started: it begins with the run, and all its tasks carry it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from shared.contracts import commands as c
from shared.contracts.codec import decode
from shared.store import tables as t
from shared.store.writes.transaction import Store
from shared.tracing import SpanContext
from shared.transport.base import COMMANDS, EVENTS, LOGS, task_queue
from tests.integration.scheduler_stack import Stack

_T0 = datetime(2026, 11, 24, 11, 59, 30, tzinfo=UTC)


def test_each_run_of_a_schedule_begins_a_trace_that_its_tasks_carry(stack: Stack) -> None:
    now = [_T0]
    stack.transport.declare([COMMANDS, EVENTS, LOGS, task_queue({})])
    parts = Assembly(Store(stack.engine), stack.transport, SchedulerMemory(Plans()), lambda: now[0], ZoneInfo("UTC"))
    spec = 'schedule: "* * * * *"\nsteps:\n  - echo hi\n'
    command = c.CreateDag(file_name="fired", spec=spec)
    transactor = parts.transactor
    transactor.decide(lambda batch: handle(batch, command))
    parts.firing.adopt()
    now[0] += timedelta(seconds=31)
    assert parts.firing.fire_due() == 1

    (run,) = stack.rows(t.dag_runs)
    asked = SpanContext.parse(run["trace"])
    assert asked is not None
    assert asked.sampled
    # No relay runs here, so what was sent is still owed.
    (owed,) = stack.rows(t.outbox)
    assert decode(owed["body"]).trace == str(asked.of_run(run["run_key"], 1))
