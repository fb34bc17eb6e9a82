"""Which schedulers the others still know."""

from datetime import timedelta

from shared.clock import utc_now
from shared.store import tables as t
from shared.store.engine import transaction
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack


def test_a_scheduler_that_is_gone_for_ten_minutes_is_forgotten_by_the_others(stack: Stack) -> None:
    now = utc_now()
    last_heard = {"gone": now - timedelta(minutes=11), "lost": now - timedelta(minutes=5)}
    about = {"kind": "scheduler", "host": "h", "version": "1", "started_at": now - timedelta(days=1)}
    with transaction(stack.engine) as connection:
        rows = [{"instance_id": name, "heartbeat_at": at, **about} for name, at in last_heard.items()]
        connection.execute(t.services.insert(), rows)

    stack.scheduler(lease_s=1)

    def known() -> set[str]:
        return {row["instance_id"] for row in stack.rows(t.services)}

    eventually(lambda: len(known()) == 2 and "gone" not in known())
    assert "lost" in known()


def test_a_worker_is_heard_and_lost_after_the_clock_was_set_back(stack: Stack) -> None:
    stack.scheduler(lease_s=1)
    stack.dag("a", "steps: [{name: s, command: 'true'}]")
    stack.start("a")
    task = stack.worker.task()
    stack.worker.start(task)

    def live() -> bool:
        stack.worker.beat(task.token)
        return stack.rows(t.workers, state="live", busy=1) != []

    eventually(live, every_s=0.1)
    then = utc_now() + timedelta(hours=1)
    with transaction(stack.engine) as connection:
        connection.execute(t.workers.update().values(heartbeat_at=then, lease_until=then))

    stack.worker.beat(task.token, slots=7)

    def heard() -> bool:
        [row] = stack.rows(t.workers)
        stack.worker.beat(task.token, slots=7)
        return bool(row["slots"] == 7 and row["lease_until"] < utc_now() + timedelta(minutes=1))

    eventually(heard)
    stack.until("failed")


def test_former_steps_of_a_worker_are_lost_although_the_clock_was_set_back_after_its_restart(stack: Stack) -> None:
    ahead = timedelta(hours=1)
    scheduler = stack.scheduler(clock=lambda: utc_now() + ahead)
    stack.dag("a", "steps: [{name: s, command: 'true'}]")
    stack.start("a")
    task = stack.worker.task()
    stack.worker.beat(task.token)
    stack.worker.start(task)
    eventually(lambda: stack.nodes() == {"s": "running"})
    stack.worker.incarnation = "second"
    stack.worker.beat()
    eventually(lambda: stack.rows(t.workers, incarnation="second") != [], every_s=0.01)

    ahead = timedelta()

    def beat_until_failed() -> bool:
        stack.worker.beat()
        return bool(stack.run()["status"] == "failed")

    eventually(beat_until_failed, every_s=0.1)
    # Else an alert on a scheduler that judges nothing would be silent for an hour.
    eventually(lambda: 0 <= scheduler.judged_age_s < 60)
