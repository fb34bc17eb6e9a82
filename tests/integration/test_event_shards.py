"""Several schedulers share the runs: each run has one of them at a time, and another one when that dies."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import select

from services.scheduler.deciding.report_queues import ReportQueues
from services.scheduler.main import Scheduler
from shared.ids import new_token
from shared.store import tables as t
from shared.store.time_limits import TimeLimits
from shared.transport.base import COMMANDS, EVENT_SHARDS, BrokerQueue, Consumer, Delivery, Durability
from shared.transport.rabbitmq.transport import RabbitTransport
from tests.conformance.transport_moves import put, take_all
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.servers import RabbitServer
from tests.harness.statements import NODES_READ, statements
from tests.integration.scheduler_stack import Stack

CHAIN = "steps: [" + ", ".join(f"{{name: s{n}, command: 'true'}}" for n in range(8)) + "]"

LEASE_S = 600
"""The scripted worker sends no heartbeats: after a lease it counts as lost, and so do the steps that it runs."""


@pytest.fixture
def stack(migrated_database_url: str, amqp_url: str) -> Iterator[Stack]:
    # A scheduler that has waited 10 s for a locked run would read it again, and a busy machine locks one for longer.
    limits = TimeLimits(lock_s=PATIENCE_S)
    made = Stack(migrated_database_url, lambda: RabbitTransport(amqp_url, name="test"), limits=limits)
    yield made
    made.close()


def walk(stack: Stack, run_id: str, steps: int = 8, dag: str = "chain") -> set[str]:
    """Run a chain; return the broker queues that its tasks named."""
    stack.start(dag, run_id)
    named = set()
    for _ in range(steps):
        task = stack.worker.task()
        named.add(task.reports_to)
        stack.worker.run(task)
    stack.until("succeeded", run_id)
    return named


def test_a_run_stays_with_the_scheduler_that_creates_it(stack: Stack) -> None:
    stack.scheduler(shards=True, lease_s=LEASE_S)
    stack.scheduler(shards=True, lease_s=LEASE_S)
    stack.dag("chain", CHAIN)
    stack.dag("one", "steps: ['true']")
    number = iter(range(10_000))
    # Once both have seen each other in the database, they name a shard.
    eventually(lambda: walk(stack, f"first-{next(number)}") > set() and "" not in walk(stack, f"more-{next(number)}"))

    def nobody_reads() -> bool:
        """Whether no scheduler had to read one of these runs, as its creator has them in memory."""
        with statements(stack.engine) as sent:
            for _ in range(12):
                walk(stack, f"r{next(number)}", steps=1, dag="one")
        return not any(each.endswith(NODES_READ) for each in sent)

    eventually(nobody_reads)
    assert all(len(walk(stack, f"r{next(number)}")) == 1 for _ in range(3))

    # The other one takes over what the first one leaves, and its own reports go on.
    stack._schedulers.pop().stop()
    walk(stack, "after")


def test_hundreds_of_reports_about_a_run_that_wait_all_come_to_its_scheduler(stack: Stack) -> None:
    """300 AMQP messages wait while the run is locked. The other scheduler would read the run to record its share."""
    for _ in range(2):
        stack.scheduler(shards=True, lease_s=LEASE_S)
    stack.dag("wide", "type: graph\nsteps: [" + ", ".join(f"{{name: s{n}, command: 'true'}}" for n in range(300)) + "]")
    stack.dag("one", "steps: ['true']")
    number = iter(range(10_000))
    # Once both have seen each other in the database, a run stays with its creator.
    eventually(lambda: "" not in walk(stack, f"first-{next(number)}", steps=1, dag="one"))
    with ExitStack() as opened:  # a new connection in the midst would make the schedulers read the run
        for _ in range(25):
            opened.enter_context(stack.engine.connect())

    def nobody_reads() -> bool:
        """Whether no scheduler had to read the run, as when one takes the other for dead meanwhile."""
        run_id = f"w{next(number)}"
        stack.start("wide", run_id)
        tasks = []
        for _ in range(300):
            tasks.append(stack.worker.task())
            stack.worker.start(tasks[-1])
        eventually(lambda: set(stack.nodes(run_id).values()) == {"running"})
        run_key = stack.run(run_id)["run_key"]
        with statements(stack.engine) as sent:
            with stack.engine.begin() as locking:
                locking.execute(select(t.dag_runs.c.run_key).where(t.dag_runs.c.run_key == run_key).with_for_update())
                for task in tasks:
                    stack.worker.finish(task)
            stack.until("succeeded", run_id)
        return not any(each.endswith(NODES_READ) for each in sent)

    eventually(nobody_reads)


def test_one_of_two_schedulers_takes_all_commands_and_the_other_one_takes_over(stack: Stack) -> None:
    """Each scheduler has a shard of its own for new runs, so the tasks tell who created a run."""
    both = [stack.scheduler(shards=True, lease_s=LEASE_S) for _ in range(2)]
    stack.dag("one", "steps: ['true']")
    number = iter(range(10_000))

    def named() -> set[str]:
        return set().union(*(walk(stack, f"r{next(number)}", steps=1, dag="one") for _ in range(12)))

    def shard_of_new_runs(creator: Scheduler, others: list[Scheduler]) -> str:
        own, *rest = (ReportQueues(each.instance_id, "test", shards=True).priorities for each in (creator, *others))
        won = [shard.name for shard in EVENT_SHARDS if all(own[shard.name] > of[shard.name] for of in rest)]
        return max(won, key=lambda name: own[name])

    second, first = sorted(
        both, key=lambda each: ReportQueues(each.instance_id, "test", shards=True).priorities[COMMANDS.name]
    )
    # Once both have seen each other in the database. One run in a thousand gets a key that does not fit.
    eventually(lambda: named() == {shard_of_new_runs(first, [second])})

    first.stop()
    stack._schedulers.remove(first)
    eventually(lambda: named() == {shard_of_new_runs(second, [])})


def test_beside_a_scheduler_of_another_version_tasks_name_no_shard(stack: Stack) -> None:
    stack.scheduler(version="older", lease_s=LEASE_S)
    eventually(lambda: [row["version"] for row in stack.rows(t.services)] == ["older"])
    stack.scheduler(shards=True, lease_s=LEASE_S)
    stack.dag("chain", CHAIN)
    stack.dag("one", "steps: ['true']")

    # The first one may have begun before it could see the other.
    number = iter(range(10_000))

    def none_named() -> bool:
        return all(walk(stack, f"r{next(number)}", steps=1, dag="one") == {""} for _ in range(6))

    eventually(none_named)
    assert walk(stack, "last") == {""}


@pytest.mark.usefixtures("queues_are_awaited")
def test_the_consumer_with_the_highest_priority_gets_all_and_the_next_takes_over(rabbit_server: RabbitServer) -> None:
    queue = BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE)
    low, high = (RabbitTransport(rabbit_server.url, name=name) for name in ("low", "high"))
    try:
        second = low.consume([queue], prefetch=10, priorities={queue.name: 3})
        first = high.consume([queue], prefetch=10, priorities={queue.name: 7})
        put(low, queue, *(str(n).encode() for n in range(5)))
        assert len(take_all(first, 5)) == 5
        assert second.take(1, 0) == []
        # They are not settled: they return, and come to the other consumer.
        high.close()
        assert [each.body for each in take_all(second, 5)] == [str(n).encode() for n in range(5)]
    finally:
        low.close()
        high.close()


@pytest.mark.usefixtures("queues_are_awaited")
def test_what_the_first_consumer_has_no_room_for_goes_to_the_next(rabbit_server: RabbitServer, amqp_url: str) -> None:
    queue = BrokerQueue(f"test.{new_token()[:8]}", Durability.SAFE)
    low, high = (RabbitTransport(amqp_url, name=name) for name in ("low", "high"))
    try:
        second = low.consume([queue], prefetch=10, priorities={queue.name: 3})
        first = high.consume([queue], prefetch=2, acks_wait_s=0.05, priorities={queue.name: 7})
        put(low, queue, *(str(n).encode() for n in range(5)))
        kept, passed_on = take_all(first, 2), take_all(second, 3)
        assert first.take(1, 0) == []
        for each in [*kept, *passed_on]:
            each.ack()
        # Its acknowledgements wait for others, but not for ever.
        eventually(lambda: rabbit_server.held(amqp_url, queue.name) == 0)

        def comes_to_the_first() -> bool:
            """RabbitMQ may count a message as settled before its queue hears that the consumer has room again."""
            put(low, queue, b"5")
            taken: list[tuple[Consumer, Delivery]] = []

            def arrived() -> bool:
                taken.extend((consumer, each) for consumer in (first, second) for each in consumer.take(1, 0.05))
                return taken != []

            eventually(arrived)
            ((consumer, delivery),) = taken
            delivery.ack()
            return consumer is first

        eventually(comes_to_the_first)
    finally:
        low.close()
        high.close()
