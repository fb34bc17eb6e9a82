"""The specs of runs under a base configuration are stored once. Only committed specs are remembered as stored."""

from datetime import timedelta

import pytest
from sqlalchemy import delete

from services.scheduler.commands.carry_out import handle
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans, spec_hash
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.housekeeping import Housekeeping
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.language.snapshot import make_snapshot
from shared.store import tables as t
from shared.store.engine import transaction
from shared.store.writes.transaction import Store
from tests.integration.scheduler_stack import Stack

BASE = "env: [STAGE: prod]"
SPEC = "steps: [{name: a, command: 'true'}]"
FROZEN = spec_hash(make_snapshot(SPEC, BASE))


class Undone(Exception):
    """Raised to roll a transaction back."""


def store_dag(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("d", SPEC)
    stack.stop_schedulers()


def start(batch: Batch, run_id: str, *, undone: bool = False) -> None:
    handle(batch, c.StartRun(by="ann", file_name="d", dag_run_id=run_id))
    if undone:
        batch.pending.flush(batch.tx, batch.runs.entries())
        raise Undone


def test_a_text_that_was_taken_back_is_stored_with_the_next_run(stack: Stack) -> None:
    store_dag(stack)
    transactor = Transactor(Store(stack.engine), SchedulerMemory(Plans(BASE)), utc_now)

    with pytest.raises(Undone):
        transactor.decide(lambda batch: start(batch, "r1", undone=True))
    assert stack.rows(t.specs, hash=FROZEN) == []
    for run_id in ("r1", "r2"):
        transactor.decide(lambda batch, run_id=run_id: start(batch, run_id))  # type: ignore[misc]

    assert [row["spec_hash"] for row in stack.rows(t.dag_runs)] == [FROZEN, FROZEN]
    assert len(stack.rows(t.specs, hash=FROZEN)) == 1


def test_a_text_that_was_deleted_after_its_last_run_is_stored_with_the_next_run(stack: Stack) -> None:
    store_dag(stack)
    began = now = utc_now()
    store = Store(stack.engine)
    transactor = Transactor(store, SchedulerMemory(Plans(BASE)), lambda: now)
    transactor.decide(lambda batch: start(batch, "r1"))
    for table in (t.outbox, t.dag_runs):
        with transaction(stack.engine) as connection:
            connection.execute(delete(table))

    for days in (1, 30):
        Housekeeping(store, lambda days=days: began + timedelta(days=days)).forget_specs()  # type: ignore[misc]
    assert stack.rows(t.specs, hash=FROZEN) == []
    now = began + timedelta(days=30)
    transactor.decide(lambda batch: start(batch, "r2"))

    assert [row["spec_hash"] for row in stack.rows(t.dag_runs)] == [FROZEN]


def test_a_text_that_a_failover_lost_is_stored_with_the_next_run(stack: Stack) -> None:
    store_dag(stack)
    transactor = Transactor(Store(stack.engine), SchedulerMemory(Plans(BASE)), utc_now)
    transactor.decide(lambda batch: start(batch, "r1"))
    with transaction(stack.engine) as connection:
        connection.execute(delete(t.dag_runs))
        connection.execute(delete(t.specs).where(t.specs.c.hash == FROZEN))
    stack.engine.dispose()  # the next connection is one to the new primary

    transactor.decide(lambda batch: start(batch, "r2"))

    assert [row["spec_hash"] for row in stack.rows(t.dag_runs)] == [FROZEN]
