"""Workers hear how runs ended, to remove their files."""

from shared.contracts.codec import decode
from shared.contracts.control import RootRunsEnded
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

ONE = "steps:\n  - echo hi\n"


def test_workers_are_told_which_runs_succeeded_and_which_failed(stack: Stack) -> None:
    stack.scheduler()
    succeeded: list[tuple[str, str]] = []
    failed: list[tuple[str, str]] = []

    def hear(_topic: str, body: bytes) -> None:
        message = decode(body).body
        if isinstance(message, RootRunsEnded):
            succeeded.extend(message.runs)
            failed.extend(message.failed)

    stack.transport.listen(["workers"], hear)
    stack.dag("one", ONE)
    for run_id, outcome in (("good", "succeeded"), ("bad", "failed")):
        stack.start("one", run_id)
        (task,) = stack.worker.tasks(1)
        stack.worker.run(task, outcome)

    eventually(lambda: (succeeded, failed) == ([("one", "good")], [("one", "bad")]))
