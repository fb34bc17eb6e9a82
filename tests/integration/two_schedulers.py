"""Two schedulers' decisions on one database, without threads or a transport."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.deciding.transactor import Transactor
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode, encode
from shared.contracts.events import AttemptFinished, AttemptStarted, Event
from shared.contracts.tasks import Task
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store
from tests.harness.statements import statements

__all__ = ["World", "finished", "started"]

_CHAIN = """
steps:
  - {name: a, command: 'true', retryPolicy: {limit: 3, intervalSec: 0}}
  - {name: b, command: 'true'}
"""


@dataclass
class Letter:
    """A delivery that records whether it was acknowledged."""

    arrived_s: float
    redelivered: bool = False
    acked: int = 0

    def ack(self) -> None:
        self.acked += 1


class Peer:
    """One scheduler's decisions, without its threads."""

    def __init__(self, store: Store) -> None:
        self.transactor = Transactor(store, SchedulerMemory(Plans()), utc_now)
        with store.begin() as tx:
            self.transactor.memory.rules.read(tx)
        self.after: list[PostCommit] = []
        self.transactor.after_commit(self.after.append)

    def do(self, command: c.Command) -> None:
        self.transactor.decide(lambda batch: handle(batch, command))

    def report(self, *events: Event) -> None:
        self.transactor.decide(lambda batch: record_events(batch, events, lambda batch: batch.now))

    def hold(self, report: Event) -> Letter | None:
        letter = Letter(time.monotonic())
        envelope = decode(encode(report, id="m", at=report.at))
        return letter if self.transactor.hold(letter, envelope) else None  # type: ignore[arg-type]

    def task(self) -> Task:
        (sent,) = [message for after in self.after for message in after.outgoing][-1:]
        body = decode(sent.body).body
        assert isinstance(body, Task)
        return body

    @property
    def halts(self) -> list[tuple[str, bool]]:
        return [(halt.token, halt.revoked) for after in self.after for halt in after.halts]


class World:
    """Two schedulers and one database."""

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self.one, self.two = (Peer(Store(self.engine)) for _ in range(2))
        # Opens the connection of this test's reads: after a new connection, schedulers do not trust what they cached.
        assert self.statuses() == []
        self.one.do(c.CreateDag(file_name="d", spec=_CHAIN))
        self.one.do(c.StartRun(by="ann", file_name="d", dag_run_id="r1"))

    def statuses(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(select(t.nodes.c.status).order_by(t.nodes.c.idx)).scalars())

    def history(self) -> list[str]:
        with self.engine.begin() as connection:
            return list(connection.execute(select(t.transitions.c.why).order_by(t.transitions.c.seq)).scalars())

    @contextmanager
    def reads(self) -> Iterator[list[str]]:
        """Collect the SELECTs of the block."""
        with self.statements() as all_of_them:
            seen: list[str] = []
            yield seen
        seen += [statement for statement in all_of_them if statement.startswith("SELECT")]

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """Collect what the block sends to the database, but not the questions for its time."""
        seen: list[str] = []
        with statements(self.engine) as sent:
            yield seen
        seen += [each for each in sent if "clock_timestamp" not in each]


def started(task: Task) -> AttemptStarted:
    return AttemptStarted(
        token=task.token, run_key=task.run_key, node=task.node, worker_id="w1", incarnation="i", at=utc_now()
    )


def finished(task: Task, outcome: str = "succeeded") -> AttemptFinished:
    now = utc_now()
    facts: dict[str, Any] = {"outcome": outcome, "exit_code": int(outcome != "succeeded"), "started_at": now}
    return AttemptFinished(
        token=task.token, run_key=task.run_key, node=task.node, worker_id="w1", incarnation="i", at=now, **facts
    )
