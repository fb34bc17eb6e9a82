"""Schedulers grant an attempt to one worker, and record everyone who began or wanted to begin it.

On both deployments.
"""

import time
from datetime import timedelta
from zoneinfo import ZoneInfo

from prometheus_client import REGISTRY

from services.scheduler.assembly import Assembly
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.events import Doubt
from shared.contracts.tasks import Task
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.writes.bulk import Rows
from shared.store.writes.transaction import Store
from shared.transport.base import EVENTS, BrokerQueue, Delivery, Durability, Outgoing
from tests.harness.eventually import eventually
from tests.harness.scripted_worker import ScriptedWorker
from tests.integration.scheduler_stack import Stack

SPEC = "steps:\n  - echo hi\n"


def taken(stack: Stack) -> Task:
    """Start a run of one step and return its task, which the first worker has taken."""
    stack.scheduler()
    stack.dag("one", SPEC)
    stack.start("one")
    return stack.worker.task()


def executions(stack: Stack) -> list[tuple[str, bool, bool, str]]:
    rows = sorted(stack.rows(t.executions), key=lambda row: str(row["worker_id"]))
    return [(row["worker_id"], row["accepted"], row["begun"], row["why"]) for row in rows]


def beside(stack: Stack) -> list[str]:
    """Return what the runs' histories say about workers that began what they did not hold."""
    return [row["why"] for row in stack.rows(t.transitions) if "without the right to" in row["why"]]


def test_an_attempt_is_granted_to_the_worker_that_asks_first_and_refused_to_all_others(stack: Stack) -> None:
    task = taken(stack)
    other = ScriptedWorker(stack.transport, "w2", "second")
    stack.worker.ask(task)
    eventually(lambda: [(one.token, one.incarnation) for one in stack.worker.granted] == [(task.token, "first")])
    other.ask(task)
    eventually(
        lambda: [(one.token, one.incarnation, one.revoked) for one in other.told] == [(task.token, "second", True)]
    )
    stack.worker.ask(task, waited_s=1)
    eventually(lambda: len(stack.worker.granted) == 2)
    other.ask(task, waited_s=1)
    eventually(lambda: len(other.told) == 2)

    stack.worker.print(task, b"hi\n")
    stack.worker.finish(task, log_bytes={"stdout": 3, "stderr": 0})
    stack.until("succeeded")

    assert executions(stack) == [("w1", True, True, "old"), ("w2", False, False, "held by another")]
    (attempt,) = stack.rows(t.attempts)
    assert (attempt["begun"], attempt["stdout_bytes"], attempt["stderr_bytes"]) == ("yes", 3, 0)
    assert (stack.worker.told, beside(stack)) == ([], [])


def test_a_worker_that_begins_what_another_holds_is_halted_and_the_run_says_so_once(stack: Stack) -> None:
    task = taken(stack)
    other = ScriptedWorker(stack.transport, "w2", "second")
    stack.worker.start(task)
    eventually(lambda: bool(stack.rows(t.executions)))
    for _ in range(2):
        other.start(task)
    eventually(lambda: len(other.told) == 2)
    stack.worker.finish(task)
    other.start(task)
    stack.until("succeeded")
    eventually(lambda: len(other.told) == 3)

    assert executions(stack) == [("w1", True, True, "at once"), ("w2", False, True, "held by another")]
    assert beside(stack) == ["worker w2 began this step without the right to (held by another): it may have run twice"]


def test_a_withdrawn_attempt_that_was_begun_all_the_same_is_recorded_as_begun(stack: Stack) -> None:
    task = taken(stack)
    stack.ask(c.StopRun(dag_name="one", dag_run_id="r1"))
    stack.until("aborted")
    assert [row["begun"] for row in stack.rows(t.attempts)] == ["perhaps"]

    stack.worker.start(task)

    eventually(lambda: executions(stack) == [("w1", False, True, "stale token")])
    assert [row["begun"] for row in stack.rows(t.attempts)] == ["yes"]
    assert beside(stack) == [
        "worker w1 began this step without the right to (stale token): it has run, at least in part"
    ]
    stack.worker.ask(task)
    eventually(lambda: len(stack.worker.told) == 2)
    assert stack.worker.granted == []


def test_a_start_that_is_reported_late_or_given_up_is_no_second_execution(stack: Stack) -> None:
    task = taken(stack)
    stack.worker.give_up(task)
    again = stack.worker.task()
    stack.worker.start(task)
    stack.worker.finish(again)
    stack.until("succeeded")
    stack.worker.start(again)
    eventually(lambda: {one.token for one in stack.worker.told} == {task.token, again.token})

    assert sorted(executions(stack)) == [("w1", False, False, "the worker gave it up"), ("w1", True, True, "at once")]
    assert {row["token"]: row["begun"] for row in stack.rows(t.attempts)} == {task.token: "no", again.token: "yes"}
    assert beside(stack) == []


def test_a_task_that_may_run_elsewhere_is_granted_when_all_schedulers_have_recorded_their_reports(stack: Stack) -> None:
    task = taken(stack)
    silent = {"kind": "scheduler", "instance_id": "silent", "host": "h", "version": "0", "started_at": utc_now()}
    store = Store(stack.engine)
    with store.begin() as tx:
        since = utc_now() - timedelta(seconds=5)
        tx.services.put({**silent, "heartbeat_at": since, "reports_until": None, "session_since": since})
    reports = stack.transport.consume([EVENTS], prefetch=1)
    held: list[Delivery] = []

    def outstanding() -> float:
        return REGISTRY.get_sample_value("dagway_events_ignored_total", {"reason": "reports outstanding"}) or 0.0

    def refuses_to_judge() -> bool:
        # The silent scheduler gets every other report, and records none.
        stack.worker.ask(task, Doubt.REDELIVERED, waited_s=1)
        held.extend(reports.take(10, 0.05))
        return outstanding() > before

    before = outstanding()
    eventually(refuses_to_judge)
    assert stack.worker.granted == []

    reports.close()

    asked_s = time.monotonic()

    def is_granted() -> bool:
        stack.worker.ask(task, Doubt.REDELIVERED, waited_s=time.monotonic() - asked_s)
        return bool(stack.worker.granted)

    eventually(is_granted, every_s=0.2)
    stack.worker.finish(task)
    stack.until("succeeded")
    assert executions(stack) == [("w1", True, True, "redelivered")]


def test_executions_go_with_their_run(stack: Stack) -> None:
    stack.worker.run(taken(stack))
    row = stack.until("succeeded")
    assert len(stack.rows(t.executions)) == 1

    with Store(stack.engine).begin() as tx:
        tx.history.remove([row["run_key"]])

    assert stack.rows(t.executions) == []


def test_the_sweep_marks_what_may_have_been_sent_before(stack: Stack) -> None:
    route = BrokerQueue(f"test.swept.{new_run_id()}", Durability.REPRODUCIBLE)
    stack.transport.declare([route])
    consumer = stack.transport.consume([route], prefetch=10)
    relay = Assembly(Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")).relay
    message = Outgoing(route, b"a task", new_run_id())
    with Store(stack.engine).begin() as tx:
        row = {"id": message.message_id, "route": [route.name, "remakable", None], "body": message.body}
        tx.write(Rows(t.outbox, [row | {"created_at": utc_now() - timedelta(minutes=1)}]))

    assert relay.sweep(utc_now()) == 1

    (delivery,) = eventually(lambda: consumer.take(1, 1) or _none_yet())
    assert (delivery.body, delivery.redelivered, delivery.held) == (b"a task", True, True)
    delivery.ack()
    assert not delivery.held


def _none_yet() -> list[Delivery]:
    raise AssertionError("nothing arrived")
