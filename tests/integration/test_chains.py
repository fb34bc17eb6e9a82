"""Schedulers let workers go on along a chain. On both deployments."""

from sqlalchemy import update

from services.scheduler.deciding.transactor import PROTOCOL
from shared.clock import utc_now
from shared.contracts.events import NextStart
from shared.contracts.tasks import Task
from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

SPEC = "steps:\n  - echo a\n  - echo b\n  - echo c\n"


def until_tasks(stack: Stack, name: str, *, bring_others: bool) -> Task:
    """Start runs until their first task brings the next steps along, or does not; return that task."""
    found: list[Task] = []

    def there() -> bool:
        stack.start("three", f"{name}-{len(found)}")
        found.append(stack.worker.task())
        return bool(found[-1].chain) is bring_others

    eventually(there)
    return found[-1]


def first_task(stack: Stack) -> Task:
    """Return a task that brings the next steps along."""
    stack.dag("three", SPEC)
    return until_tasks(stack, "run", bring_others=True)


def statuses(stack: Stack, run_key: str) -> list[str]:
    rows = [row for row in stack.rows(t.nodes) if row["run_key"] == run_key]
    return [row["status"] for row in sorted(rows, key=lambda row: row["idx"])]


def test_a_chain_is_reported_in_one_message_for_each_step(stack: Stack) -> None:
    stack.scheduler()
    task = first_task(stack)
    b, c = task.chain
    in_b = task.model_copy(update={"token": b.token, "node": b.node})
    in_c = task.model_copy(update={"token": c.token, "node": c.node})

    stack.worker.start(task)
    stack.worker.finish(task, next_start=NextStart(token=b.token, at=utc_now()))
    eventually(lambda: statuses(stack, task.run_key) == ["succeeded", "running", "not_started"])
    # Sent before the report of the step before is recorded, so they also cover that the order does not matter.
    stack.worker.finish(in_b, next_start=NextStart(token=c.token, at=utc_now()))
    stack.worker.finish(in_c)

    eventually(lambda: statuses(stack, task.run_key) == ["succeeded"] * 3)
    begun = [row["token"] for row in stack.rows(t.executions) if row["run_key"] == task.run_key and row["accepted"]]
    assert sorted(begun) == sorted([task.token, b.token, c.token])
    assert stack.worker.has_none()


def test_the_end_of_a_step_may_overtake_the_report_that_its_worker_went_on_to_it(stack: Stack) -> None:
    """Another scheduler may have that report, or it waits for its log. The end must not count as stale meanwhile."""
    stack.scheduler()
    task = first_task(stack)
    b, _ = task.chain
    stack.worker.start(task)
    stack.worker.finish(task.model_copy(update={"token": b.token, "node": b.node}))
    stack.worker.finish(task, next_start=NextStart(token=b.token, at=utc_now()))

    eventually(lambda: statuses(stack, task.run_key)[:2] == ["succeeded", "succeeded"])


def test_a_worker_that_has_gone_on_is_not_halted_before_its_report_is_recorded(stack: Stack) -> None:
    """A heartbeat overtakes the report: it names an attempt that no scheduler knows yet."""
    stack.scheduler()
    task = first_task(stack)
    b, c = task.chain
    stack.worker.start(task)
    eventually(lambda: statuses(stack, task.run_key)[0] == "running")
    stack.worker.beat(c.token)
    stranger = f"{task.run_key}:1:2:other"
    stack.worker.beat(b.token, stranger)

    eventually(lambda: [one.token for one in stack.worker.told] == [stranger])


def test_while_an_older_scheduler_lives_tasks_bring_no_other_steps(stack: Stack) -> None:
    stack.scheduler(lease_s=1)
    first_task(stack)
    with stack.engine.begin() as connection:
        row = {"kind": "scheduler", "instance_id": "old", "host": "h", "version": "0", "started_at": utc_now()}
        connection.execute(t.services.insert().values(**row, heartbeat_at=utc_now()))
    until_tasks(stack, "mixed", bring_others=False)

    with stack.engine.begin() as connection:
        connection.execute(update(t.services).where(t.services.c.instance_id == "old").values(protocol=PROTOCOL))
    until_tasks(stack, "new", bring_others=True)
