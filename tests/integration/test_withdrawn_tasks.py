"""A worker does not begin a task that was withdrawn while it waited at the broker."""

from pathlib import Path

from services.worker.main import Worker, WorkerSettings
from shared.contracts import commands as c
from shared.status import AttemptState
from shared.store import tables as t
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

_DAG = """
workerSelector: {{kind: real}}
steps:
  - {}
"""


def test_a_task_whose_run_was_stopped_before_a_worker_took_it_does_not_begin(stack: Stack, tmp_path: Path) -> None:
    stack.scheduler()
    stack.dag("busy", _DAG.format(f"touch {tmp_path}/taken; while [ ! -e {tmp_path}/go ]; do sleep 0.01; done"))
    stack.dag("late", _DAG.format(f"touch {tmp_path}/begun"))
    stack.dag("last", _DAG.format("echo last"))
    settings = WorkerSettings(worker_id="real", slots=1, data_dir=tmp_path / "real", labels={"kind": "real"})
    worker = Worker(stack.transport, settings)
    worker.start()
    try:
        stack.start("busy", "r1")
        eventually((tmp_path / "taken").exists)
        # There is no slot for these: they wait where every worker with such labels may take them.
        stack.start("late", "r2")
        stack.start("last", "r3")
        stack.ask(c.StopRun(dag_name="late", dag_run_id="r2"))
        stack.until("aborted", "r2")
        (taken_back,) = stack.rows(t.attempts, state=AttemptState.WITHDRAWN)
        eventually(lambda: taken_back["token"] in worker.attempts._stopped_early)

        (tmp_path / "go").touch()
        stack.until("succeeded", "r3")

        assert not (tmp_path / "begun").exists()
    finally:
        worker.stop()
