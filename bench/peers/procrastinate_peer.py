"""Procrastinate: jobs in Postgres, of which NOTIFY tells the workers.

Its idioms for a run:

* a step is a job; parallel steps are deferred in one statement
* in a chain, each job defers the next one before it ends; if its worker dies in between, the next one may run twice
* it has no results and no runs: a client polls the status of a job, and of all jobs of a queue named after a larger run

The task is a plain function, which the worker runs in one of its threads.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator,misc"

import itertools
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from procrastinate import App, PsycopgConnector, SyncPsycopgConnector

from bench.peers.client import Wait, serve, spawn

_FAILED = frozenset({"failed", "cancelled", "aborted"})


def _app(connector: Any) -> Any:
    app = App(connector=connector)

    def step(queue: str = "", left: int = 0) -> None:
        spawn()
        if left:
            app.tasks["step"].configure(queue=queue).defer(queue=queue, left=left - 1)

    app.task(step, name="step", queue="runs")
    return app


def _ended(app: Any, job: int) -> bool:
    status = app.job_manager.get_job_status(job).value
    if status in _FAILED:
        raise RuntimeError(f"a job ended as {status}")
    return bool(status == "succeeded")


def _all_ended(app: Any, queue: str, count: int) -> bool:
    found = next(iter(app.job_manager.list_queues(queue=queue)), None)
    if found and sum(found[status] for status in _FAILED):
        raise RuntimeError(f"jobs failed: {found}")
    return bool(found and found["succeeded"] == count)


def _wait(ended: Any, poll_s: float) -> None:
    while not ended():
        time.sleep(poll_s)


def _client(app: Any) -> None:
    step, numbers = app.tasks["step"], itertools.count()

    def submit(steps: int, chained: bool) -> Sequence[Wait]:
        if steps == 1:
            return [partial(_wait, partial(_ended, app, step.defer()))]
        queue = f"run{next(numbers)}"
        deferred = step.configure(queue=queue)
        if chained:
            deferred.defer(queue=queue, left=steps - 1)
        else:
            deferred.batch_defer(*({} for _ in range(steps)))
        return [partial(_wait, partial(_all_ended, app, queue, steps))]

    with app.open():
        serve(submit)


def main(command: str, _broker: str, database: str, name: str = "", slots: str = "") -> None:
    """Run one process."""
    if command == "worker":
        app = _app(PsycopgConnector(conninfo=database, max_size=int(slots) + 2))
        app.run_worker(concurrency=int(slots), name=name)
        return
    app = _app(SyncPsycopgConnector(conninfo=database))
    if command == "client":
        _client(app)
        return
    with app.open():
        app.schema_manager.apply_schema()


if __name__ == "__main__":
    main(*sys.argv[1:])
