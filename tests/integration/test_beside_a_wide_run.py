"""The task of a small run does not wait behind those of a wide one, on both footings."""

from shared.contracts.codec import decode
from shared.contracts.tasks import Task
from shared.transport.base import task_queue
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

_WIDE = 150
_FIRST = 40
"""Workers take the task of the small run among so many. In the order of sending it is the last of all."""


def test_a_small_run_goes_to_workers_before_the_rest_of_a_wide_one(stack: Stack) -> None:
    stack.scheduler()
    zone = "workerSelector:\n  zone: far\n"
    steps = "".join(f"  - name: s{number}\n    command: 'true'\n" for number in range(_WIDE))
    stack.dag("wide", f"type: graph\nplacement: spread\n{zone}steps:\n{steps}")
    stack.dag("one", f"{zone}steps:\n  - 'true'\n")
    queue = task_queue({"zone": "far"})

    stack.start("wide", "w1")
    eventually(lambda: stack.transport.waiting(queue) == _WIDE)
    stack.start("one", "r1")
    eventually(lambda: stack.transport.waiting(queue) == _WIDE + 1)

    consumer = stack.transport.consume([queue], prefetch=1)
    taken: list[str] = []

    def all_taken() -> bool:
        for delivery in consumer.take(1, 1):
            task = decode(delivery.body).body
            assert isinstance(task, Task)
            taken.append(task.dag_name)
            delivery.ack()
        return len(taken) == _WIDE + 1

    eventually(all_taken, every_s=0, slowest_s=0)
    assert taken.count("one") == 1
    assert taken.index("one") < _FIRST
    assert taken[0] == "wide", "the tasks of a small run keep to the order of sending among the first of a wide one"
