"""Celery: RabbitMQ as its broker, Postgres for its results.

Its idioms for a run:

* one step is a task; many runs are many tasks
* parallel steps are a ``group``, a chain is a ``chain`` of immutable signatures, whose rest travels in each message
* a client polls the results in Postgres. That backend opens a connection for each poll unless the process was forked

Durable as the others are: quorum queues, publisher confirms, a task is acknowledged when its result is stored. The
pool is the usual one, a process for each slot.
"""

# mypy: disable-error-code="import-not-found,untyped-decorator,misc"

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from celery import Celery, chain, group

from bench.peers.client import Wait, serve, spawn


def _app(broker: str, database: str) -> Any:
    app = Celery("bench", broker=broker, backend=f"db+{database.replace('postgresql:', 'postgresql+psycopg2:')}")
    app.conf.update(
        broker_connection_retry_on_startup=True,
        broker_transport_options={"confirm_publish": True},
        task_acks_late=True,
        task_default_queue_type="quorum",
        task_reject_on_worker_lost=True,
    )
    app.task(spawn, name="step")
    return app


def _wait(result: Any, poll_s: float) -> None:
    result.get(interval=poll_s, propagate=False)
    if not result.successful():
        raise RuntimeError(f"a task ended as {result.state}")


def _client(app: Any) -> None:
    step = app.tasks["step"]

    def submit(steps: int, chained: bool) -> Sequence[Wait]:
        signatures = [step.si() for _ in range(steps)]
        if steps == 1 or chained:
            return [partial(_wait, (chain(*signatures) if steps > 1 else signatures[0]).apply_async())]
        return [partial(_wait, each) for each in group(signatures).apply_async().results]

    serve(submit)


def main(command: str, broker: str, database: str, name: str = "", slots: str = "") -> None:
    """Run one process."""
    app = _app(broker, database)
    if command == "prepare":
        _ = app.AsyncResult("none").state  # A read creates the tables.
    elif command == "worker":
        app.worker_main(["worker", "--hostname", f"{name}@bench", "--concurrency", slots, "--loglevel", "WARNING"])
    else:
        _client(app)


if __name__ == "__main__":
    main(*sys.argv[1:])
