"""Decisions on cached runs, and reports that wait for the next decision about their run."""

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.scheduler.core.advance import Message
from services.scheduler.core.decision import Decision
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.early_reports import ahead_of_logs
from services.scheduler.deciding.events import record_events
from services.scheduler.deciding.held_reports import HELD_S
from services.scheduler.loops.intakes import events_intake
from shared.contracts import commands as c
from shared.contracts.codec import encode
from shared.contracts.events import AttemptRequested, AttemptStarted, Doubt
from shared.errors import StoreUnavailable
from shared.store import tables as t
from shared.store.writes.transaction import Store
from shared.transport.base import EVENTS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S, eventually
from tests.integration.two_schedulers import World, finished, started


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(migrated_sqlite(tmp_path / "d.db"))
    yield made
    made.engine.dispose()


def test_a_scheduler_that_decided_last_reads_nothing_of_the_run(world: World) -> None:
    with world.reads() as seen:
        world.one.report(started(world.one.task()), finished(world.one.task()))

    assert seen == []
    assert world.statuses() == ["succeeded", "not_started"]
    assert world.one.task().step.name == "b"


def test_the_report_that_ends_a_run_is_one_statement_text(migrated_database_url: str) -> None:
    world = World(migrated_database_url)
    world.one.report(started(world.one.task()), finished(world.one.task()))
    with world.statements() as sent:
        world.one.report(started(world.one.task()), finished(world.one.task()))
    world.engine.dispose()

    assert world.one.after[-1].ended
    assert len(sent) == 1, sent


def test_a_decision_writes_the_columns_that_it_changes(migrated_database_url: str) -> None:
    world = World(migrated_database_url)
    with world.statements() as sent:
        world.one.report(started(world.one.task()), finished(world.one.task()))
    with world.engine.begin() as connection:
        stored = connection.execute(select(t.nodes).order_by(t.nodes.c.idx)).mappings().all()
    world.engine.dispose()

    updates = " ".join(part for text in sent for part in text.split("; ") if part.startswith("UPDATE"))
    assert "token_state" in updates
    assert "version" in updates
    assert not re.findall(r"\b(params_json|env|outputs|approval|retry_at)\b", updates), updates
    assert [(row["status"], row["exit_code"], row["token_state"]) for row in stored] == [
        ("succeeded", 0, None),
        ("not_started", None, "dispatched"),
    ]


def test_a_run_that_another_thread_changed_meanwhile_is_not_read_again(migrated_database_url: str) -> None:
    world = World(migrated_database_url)
    with world.engine.connect(), world.engine.connect():
        pass  # a new connection in the midst would empty the cache
    world.one.do(c.StartRun(by="ann", file_name="d", dag_run_id="r2"))
    task, tries = world.one.task(), []

    def end(batch: Batch) -> None:
        record_events(batch, [finished(task)], lambda batch: batch.now)
        tries.append(batch)
        if len(tries) == 1:
            world.one.report(started(task))

    with world.reads() as seen:
        world.one.transactor.decide(end)
    world.engine.dispose()

    assert len(tries) == 2
    assert not any("FROM nodes" in each for each in seen), seen
    assert sorted(world.statuses()) == ["not_started", "not_started", "not_started", "succeeded"]


def test_a_decision_on_an_old_copy_is_made_again(world: World) -> None:
    first = world.one.task()
    world.two.report(started(first), finished(first, "failed"))
    again = world.two.task()
    assert again.token != first.token

    # The first scheduler has only seen the first attempt: it must neither stop the second one nor lose its report.
    asked = AttemptRequested(**started(again).model_dump(exclude={"stdout", "stderr"}), doubt=Doubt.OLD)
    world.one.report(asked)
    assert [grant.token for grant in world.one.after[-1].grants] == [again.token]
    world.one.report(started(again))
    assert world.one.halts == []
    assert world.statuses() == ["running", "not_started"]
    world.two.report(finished(again))
    assert world.statuses() == ["succeeded", "not_started"]
    # An old report changes nothing, whoever gets it.
    world.one.report(finished(first))
    assert world.statuses() == ["succeeded", "not_started"]


def test_a_scheduler_that_lost_the_database_reads_its_runs_anew(world: World) -> None:
    def fails(_batch: Batch) -> None:
        raise StoreUnavailable("the connection broke")

    task = world.one.task()
    with pytest.raises(StoreUnavailable):
        world.one.transactor.decide(fails)

    # Another database may have taken over, in which the run has the same version and another state.
    with world.reads() as seen:
        world.one.report(started(task))
    assert any("nodes" in statement for statement in seen)


def test_a_scheduler_that_did_not_notice_a_failover_reads_its_runs_anew(world: World) -> None:
    """Its connections were replaced while nothing used them, so no error told it."""
    task = world.one.task()
    world.engine.dispose()

    with world.reads() as seen:
        world.one.report(started(task))
    assert any("nodes" in statement for statement in seen)


def test_a_report_about_a_run_that_another_scheduler_deleted_stops_the_worker(world: World) -> None:
    task = world.one.task()
    with world.engine.begin() as connection:
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
        connection.execute(t.dag_runs.delete())

    world.one.report(started(task))

    assert world.one.halts == [(task.token, True)]


def test_a_start_waits_for_the_end_and_shares_its_transaction(world: World) -> None:
    task = world.one.task()
    letter = world.one.hold(started(task))
    assert letter is not None
    assert world.statuses() == ["not_started", "not_started"]
    commits = len(world.one.after)

    world.one.report(finished(task))

    assert letter.acked == 1
    assert len(world.one.after) == commits + 1
    assert "started on w1" in world.history()
    assert world.one.transactor.memory.held.oldest_s == float("inf")


def test_a_stop_sees_the_start_that_waits(world: World) -> None:
    task = world.one.task()
    letter = world.one.hold(started(task))

    world.one.do(c.StopRun(by="ann", dag_name="d", dag_run_id="r1"))

    assert world.one.halts == [(task.token, False)], "the step is stopped, its attempt is not withdrawn"
    assert letter is not None
    assert letter.acked == 1


def test_a_start_that_is_not_committed_waits_on(world: World) -> None:
    task = world.one.task()
    letter = world.one.hold(started(task))
    assert letter is not None

    def fails(batch: Batch) -> None:
        batch.runs.load([task.run_key])
        assert batch.held_reports
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        world.one.transactor.decide(fails)

    assert letter.acked == 0
    held = world.one.transactor.memory.held
    assert held.oldest_s == letter.arrived_s
    assert held.release(letter.arrived_s - 0.001) == []
    assert [each.event.token for each in held.release(letter.arrived_s)] == [task.token]


def test_starts_that_wait_are_all_given_back_if_one_of_them_cannot_be_recorded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.one.do(c.StartRun(by="ann", file_name="d", dag_run_id="r2"))
    first = world.one.task()
    world.one.do(c.StartRun(by="ann", file_name="d", dag_run_id="r3"))
    second = world.one.task()
    assert world.one.hold(started(first))
    assert world.one.hold(started(second))
    monkeypatch.setattr(Batch, "apply", lambda *_: 1 / 0)

    world.one.transactor.decide(lambda batch: batch.runs.load([first.run_key, second.run_key]))

    given_back = world.one.transactor.memory.held.release(time.monotonic())
    assert {each.event.token for each in given_back} == {first.token, second.token}


def test_a_start_that_cannot_be_recorded_costs_no_other_decision(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    task = world.one.task()
    letter = world.one.hold(started(task))
    apply = Batch.apply

    def refuses(batch: Batch, key: str, message: Message) -> Decision:
        if isinstance(message, AttemptStarted):
            raise ZeroDivisionError
        return apply(batch, key, message)

    monkeypatch.setattr(Batch, "apply", refuses)

    world.one.do(c.StopRun(by="ann", dag_name="d", dag_run_id="r1"))

    assert world.one.halts == [(task.token, True)], "the start was not seen, so the attempt is withdrawn"
    assert letter is not None
    assert letter.acked == 0
    held = world.one.transactor.memory.held
    assert held.waiting_since_s < held.oldest_s == letter.arrived_s
    assert [each.event.token for each in held.release(letter.arrived_s - 1)] == [task.token]


def test_only_a_start_that_nothing_waits_for_is_held(world: World) -> None:
    task = world.one.task()
    assert world.one.hold(finished(task)) is None, "an end lets other steps start"
    assert world.two.hold(started(task)) is None, "another scheduler decided about the run"
    stale = started(task).model_copy(update={"token": "old"})
    assert world.one.hold(stale) is None, "its worker must be told at once"
    world.one.do(
        c.CreateDag(file_name="wide", spec="type: graph\nsteps: [{name: a, command: x}, {name: b, command: x}]")
    )
    world.one.do(c.StartRun(by="ann", file_name="wide", dag_run_id="r2"))
    assert world.one.hold(started(world.one.task())) is None, "the other step waits until the run's worker is known"


def test_a_start_without_company_is_recorded_soon(world: World) -> None:
    transport = EmbeddedTransport(None)
    consumer = transport.consume([EVENTS], prefetch=10)
    intake = events_intake(world.one.transactor, consumer, lambda batch: batch.now)
    stop = threading.Event()
    thread = threading.Thread(target=intake.run, args=(stop,))
    report = started(world.one.task())
    began_s = time.monotonic()
    thread.start()
    try:
        transport.send(Outgoing(EVENTS, encode(report, id="m1", at=report.at), "m1")).result(60)
        eventually(lambda: world.statuses() == ["running", "not_started"])
        assert time.monotonic() - began_s >= HELD_S, "it waited for company"
        intake.wake()
        eventually(lambda: intake.recorded_through_s > began_s + HELD_S)
    finally:
        stop.set()
        intake.wake()
        thread.join()
        transport.close()


def test_an_end_of_a_node_that_does_not_exist_waits_for_no_log(world: World) -> None:
    end = finished(world.one.task()).model_copy(update={"node": 99, "log_bytes": {"stdout": 5}})

    assert world.one.transactor.decide(lambda batch: ahead_of_logs(batch, [end])) == frozenset()


class Idle:
    """A consumer without messages. It notes how long it was to wait for one, and then says ``stop``."""

    connected_for_s = 1.0

    def __init__(self, stop: threading.Event) -> None:
        self.stop = stop
        self.timeouts: list[float] = []

    def take(self, _limit: int, timeout_s: float) -> list[Any]:
        self.timeouts.append(timeout_s)
        self.stop.set()
        return []

    def close(self) -> None:
        pass


def test_while_another_transaction_records_a_start_the_intake_waits_for_messages(world: World) -> None:
    task = world.one.task()
    letter = world.one.hold(started(task))
    assert letter is not None
    letter.arrived_s -= 2 * HELD_S
    assert world.one.transactor.memory.held.take([task.run_key]), "a transaction that takes its time"
    consumer = Idle(threading.Event())

    events_intake(world.one.transactor, consumer, lambda batch: batch.now).run(consumer.stop)  # type: ignore[arg-type]

    assert consumer.timeouts[0] > HELD_S, "else it asks without a pause until that transaction ends"


def test_a_decision_on_a_cached_run_waits_for_the_run_before_it_locks_anything_else(
    migrated_database_url: str,
) -> None:
    world = World(migrated_database_url)
    task = world.one.task()
    reported = threading.Thread(target=world.one.report, args=(started(task),))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with Store(world.engine).begin() as tx:
        tx.runs.lock([task.run_key])
        reported.start()

        def waits() -> bool:
            with world.engine.begin() as connection:
                return bool(connection.exec_driver_sql(waiting).scalar())

        eventually(waits)
        # If the other transaction had locked the node before the run, the two would now wait for each other.
        tx.connection.execute(t.nodes.update().where(t.nodes.c.run_key == task.run_key).values(error=""))
    reported.join(PATIENCE_S)

    assert world.statuses() == ["running", "not_started"]
    world.engine.dispose()
