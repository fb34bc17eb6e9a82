"""The task of a small run does not wait behind those of a wide one or of a fan-out, on both deployments."""

from shared.contracts.codec import decode
from shared.contracts.events import ChildCall
from shared.contracts.tasks import Task
from shared.transport.base import BrokerQueue, task_queue
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

_WIDE = 150
_FIRST = 40
"""Workers take the task of the small run among so many. In the order of sending it is the last of all."""
_ZONE = "workerSelector:\n  zone: far\n"
_QUEUE = task_queue({"zone": "far"})


def taken_in_order(stack: Stack, queue: BrokerQueue, count: int) -> list[str]:
    """Take so many tasks as a worker does, one after the other; return the names of their DAGs."""
    consumer = stack.transport.consume([queue], prefetch=1)
    taken: list[str] = []

    def all_taken() -> bool:
        for delivery in consumer.take(1, 1):
            task = decode(delivery.body).body
            assert isinstance(task, Task)
            taken.append(task.dag_name)
            delivery.ack()
        return len(taken) == count

    eventually(all_taken, every_s=0, slowest_s=0)
    return taken


def test_a_small_run_goes_to_workers_before_the_rest_of_a_wide_one(stack: Stack) -> None:
    stack.scheduler()
    steps = "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(_WIDE))
    stack.dag("wide", f"type: graph\nplacement: spread\n{_ZONE}steps:\n{steps}")
    stack.dag("one", f"{_ZONE}steps:\n  - 'true'\n")

    stack.start("wide", "w1")
    eventually(lambda: stack.transport.waiting(_QUEUE) == _WIDE)
    stack.start("one", "r1")
    eventually(lambda: stack.transport.waiting(_QUEUE) == _WIDE + 1)

    taken = taken_in_order(stack, _QUEUE, _WIDE + 1)
    assert taken.count("one") == 1
    assert taken.index("one") < _FIRST
    assert taken[0] == "wide", "the tasks of a small run keep to the order of sending among the first of a wide one"


def call_and_start_one(stack: Stack, count: int) -> list[str]:
    """Let a step call so many sub-runs, then start a run of one step; return the DAGs as workers take their tasks."""
    stack.scheduler()
    stack.dag("one", f"{_ZONE}steps:\n  - 'true'\n")
    stack.dag("sub", f"{_ZONE}steps:\n  - 'true'\n")
    stack.dag("fan", f"steps:\n  - name: f\n    call: sub\n    parallel: {{items: [x], maxConcurrent: {count}}}\n")
    stack.start("fan", "f1")
    calls = tuple(ChildCall(dag="sub", params=str(number), given=str(number)) for number in range(count))
    stack.worker.finish(stack.worker.task(), children=calls)
    eventually(lambda: stack.transport.waiting(_QUEUE) == count)
    stack.start("one", "r1")
    eventually(lambda: stack.transport.waiting(_QUEUE) == count + 1)
    return taken_in_order(stack, _QUEUE, count + 1)


def test_a_small_run_goes_to_workers_before_the_sub_runs_of_a_fan_out(stack: Stack) -> None:
    assert call_and_start_one(stack, _WIDE).index("one") < _FIRST


def test_the_sub_runs_of_a_small_fan_out_keep_their_place(stack: Stack) -> None:
    assert call_and_start_one(stack, 8) == ["sub"] * 8 + ["one"]
