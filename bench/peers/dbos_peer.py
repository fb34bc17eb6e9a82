"""DBOS: workflows in Postgres.

Its idioms for a run:

* a run is a workflow that a client puts into a queue, so that any worker takes it; a step is a ``DBOS.step``
* a chain is a workflow that calls one step after the other, in one process, with a commit after each
* parallel steps are workflows that the run puts into a second queue, and waits for

Queues and results are polled, each second unless told otherwise: here the queues every 10 ms, results as the clients
of the other systems poll.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator,misc"

import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from dbos import DBOS, DBOSClient

from bench.peers.client import Wait, serve, spawn

_POLL_S = 0.01
_RUNS, _STEPS = "runs", "steps"


@DBOS.step()
def step() -> None:
    """Run the command of a step."""
    spawn()


@DBOS.workflow()
def one_step() -> None:
    """Run one step of a wide run."""
    step()


@DBOS.workflow()
def run(steps: int, chained: bool) -> None:
    """Run a run."""
    if steps == 1 or chained:
        for _ in range(steps):
            step()
        return
    for handle in [DBOS.enqueue_workflow(_STEPS, one_step) for _ in range(steps)]:
        handle.get_result(polling_interval_sec=_POLL_S)


def _launch(database: str, name: str, slots: int) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": database,
            "executor_id": name,
            "application_version": "1",
            "run_admin_server": False,
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    for queue in (_RUNS, _STEPS):
        DBOS.register_queue(queue, worker_concurrency=slots, polling_interval_sec=_POLL_S)


def _wait(handle: Any, poll_s: float) -> None:
    handle.get_result(polling_interval_sec=poll_s)


def _client(database: str) -> None:
    client = DBOSClient(system_database_url=database, system_database_pool_size=8)

    def submit(steps: int, chained: bool) -> Sequence[Wait]:
        return [partial(_wait, client.enqueue({"workflow_name": "run", "queue_name": _RUNS}, steps, chained))]

    serve(submit)


def main(command: str, _broker: str, database: str, name: str = "prepare", slots: str = "8") -> None:
    """Run one process."""
    if command == "client":
        _client(database)
        return
    _launch(database, name, int(slots))
    if command == "worker":
        signal.pause()  # until it is terminated
    DBOS.destroy()


if __name__ == "__main__":
    main(*sys.argv[1:])
