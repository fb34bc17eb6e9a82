"""A database that ``dagway verify`` finds sound. A scheduler and a scripted worker made it; its past is invented."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, update

from shared.clock import utc_now
from shared.contracts.commands import PatchStep, RetryRun, StartRun, StopRun
from shared.store import tables as t
from shared.store.engine import transaction
from shared.transport.open import open_transport
from tests.conformance.conftest import Deployment
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

LEASE_S = 2.0
AGO = timedelta(hours=2)
CHAIN = "steps:\n  - name: first\n    command: a\n  - name: second\n    command: b\n"
TRIPLE = f"{CHAIN}  - name: third\n    command: c\n"
TIMED = "schedule: '0 * * * *'\nsteps: [echo]\n"


@dataclass(frozen=True)
class Sound:
    """A sound database: the rows of two runs, and of the first the tokens of two attempts: one succeeded."""

    stack: Stack
    now: datetime
    ended: dict[str, Any]
    running: dict[str, Any]
    token: str
    given_up: str


@contextmanager
def sound_database(deployment: Deployment) -> Iterator[Sound]:
    stack = Stack(deployment.database_url, lambda: open_transport(deployment.transport_url, name="test"))
    stack.scheduler()
    stack.dag("chain", CHAIN)
    stack.ask(StartRun(file_name="chain", dag_run_id="ended"), "start")
    given_up = stack.worker.task()
    # The broker's confirm of its start did not come in time, but the report did.
    stack.worker.start(given_up)
    stack.worker.give_up(given_up)
    first = stack.worker.task()
    stack.worker.run(first)
    stack.worker.run(stack.worker.task())
    stack.until("succeeded", "ended")
    stack.start("chain", "running")
    stack.worker.run(stack.worker.task())
    stack.worker.start(stack.worker.task())
    _retry_otherwise(stack)
    stack.until("running", "running")
    eventually(lambda: stack.nodes("running") == {"first": "succeeded", "second": "running"})
    # It is due each full hour, when no scheduler of these tests may be there to start it: so it is stored last.
    eventually(lambda: utc_now().hour == (utc_now() + timedelta(minutes=1)).hour)
    stack.dag("timed", TIMED)
    eventually(lambda: stack.rows(t.schedules, file_name="timed") != [])
    stack.stop_schedulers()
    now = utc_now()
    _age(stack, now)
    yield Sound(stack, now, stack.run("ended"), stack.run("running"), first.token, given_up.token)
    stack.close()


def _retry_otherwise(stack: Stack) -> None:
    """Retry runs as new runs, and a single step of a run that was stopped before the step in front of it."""
    stack.start("chain", "failed")
    stack.worker.run(stack.worker.task())
    stack.worker.run(stack.worker.task(), "failed")
    stack.until("failed", "failed")
    stack.ask(RetryRun(dag_name="chain", dag_run_id="failed", new_run_id="anew"), "retry-anew")
    stack.worker.run(stack.worker.task())
    stack.until("succeeded", "anew")
    # A person decides that somebody shall approve the end of the failed run.
    stack.ask(PatchStep(dag_name="chain", dag_run_id="failed", step_name="second", status="waiting"), "by-hand")

    stack.dag("triple", TRIPLE)
    stack.start("triple", "stopped")
    held = stack.worker.task()
    stack.worker.start(held)
    stack.ask(StopRun(dag_name="triple", dag_run_id="stopped"), "stop")
    stack.worker.finish(held, "aborted")
    stack.until("aborted", "stopped")
    for target in ("stopped", "alone"):
        command = RetryRun(dag_name="triple", dag_run_id="stopped", new_run_id=target, step_name="third")
        stack.ask(command, f"retry-{target}")
        stack.worker.run(stack.worker.task())
        eventually(lambda target=target: stack.nodes(target)["third"] == "succeeded")  # type: ignore[misc]


def _age(stack: Stack, now: datetime) -> None:
    """Pretend that a scheduler has run for days, and has decided the scheduled times of the last hours."""
    edited = now - timedelta(hours=5)
    hours = [now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=hour) for hour in range(5)]
    with transaction(stack.engine) as connection:
        connection.execute(
            insert(t.services).values(
                kind="scheduler",
                instance_id="s1",
                host="",
                version="",
                started_at=now - timedelta(days=9),
                heartbeat_at=now,
            )
        )
        connection.execute(
            insert(t.workers).values(
                worker_id="w1",
                incarnation="first",
                host="",
                version="",
                labels={},
                slots=1,
                busy=1,
                state="live",
                started_at=now - AGO,
                heartbeat_at=now,
                lease_until=now + timedelta(seconds=LEASE_S),
            )
        )
        connection.execute(delete(t.outbox))
        connection.execute(update(t.dags).values(updated_at=edited))
        connection.execute(update(t.dag_versions).values(at=edited))
        connection.execute(update(t.schedules).values(dag_version=1, zone="UTC", decided_until=now))
        connection.execute(delete(t.cron_slots))
        connection.execute(insert(t.cron_slots), [_fire(at) for at in hours])


def _fire(at: datetime) -> dict[str, Any]:
    return {
        "file_name": "timed",
        "kind": "start",
        "slot_at": at,
        "until_at": None,
        "expression": "0 * * * *",
        "outcome": "fired",
        "reason": "",
        "dag_name": "timed",
        "dag_run_id": None,
        "decided_at": at,
    }
