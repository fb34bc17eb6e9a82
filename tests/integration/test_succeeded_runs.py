"""Workers hear of runs that succeeded, to remove their files."""

from shared.contracts.codec import decode
from shared.contracts.control import RunsSucceeded
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

ONE = "steps:\n  - echo hi\n"


def test_workers_are_told_which_runs_succeeded(stack: Stack) -> None:
    stack.scheduler()
    heard: list[tuple[str, str]] = []

    def hear(_topic: str, body: bytes) -> None:
        message = decode(body).body
        if isinstance(message, RunsSucceeded):
            heard.extend(message.runs)

    stack.transport.listen(["workers"], hear)
    stack.dag("one", ONE)
    for run_id, outcome in (("good", "succeeded"), ("bad", "failed")):
        stack.start("one", run_id)
        (task,) = stack.worker.tasks(1)
        stack.worker.run(task, outcome)

    eventually(lambda: heard == [("one", "good")])
