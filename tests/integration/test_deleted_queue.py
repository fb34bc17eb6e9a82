"""A broker queue of tasks that somebody deletes, or that another broker does not have, is made again."""

import pytest

from shared.status import AttemptState
from shared.store import tables as t
from shared.transport.base import task_queue
from tests.harness.eventually import eventually
from tests.harness.servers.rabbit import RabbitServer
from tests.integration.scheduler_stack import Stack

_DAG = """
workerSelector: {zone: far}
steps:
  - echo hi
"""


@pytest.mark.parametrize("deployment", ["distributed"], indirect=True)
def test_the_next_task_makes_its_deleted_queue_again(stack: Stack, rabbit_server: RabbitServer, amqp_url: str) -> None:
    queue = task_queue({"zone": "far"})
    stack.scheduler()
    stack.dag("one", _DAG)
    stack.start("one", "r1")
    eventually(lambda: stack.transport.waiting(queue) == 1)

    rabbit_server.delete_queue(amqp_url, queue.name)
    stack.start("one", "r2")

    # The first try reaches no queue. No worker is there, which could have made the queue anew.
    eventually(lambda: stack.transport.waiting(queue) == 1)
    assert len(stack.rows(t.attempts, state=AttemptState.WITHDRAWN)) == 1
