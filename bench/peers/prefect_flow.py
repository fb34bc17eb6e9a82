"""The flow that Prefect runs, what serves it, and the client that starts it. ``prefect_peer`` starts both."""

# mypy: disable-error-code="import-not-found,untyped-decorator,misc"

import asyncio
import sys
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.runner import Runner
from prefect.task_runners import ThreadPoolTaskRunner

from bench.peers.client import SLOW_POLL_S, Wait, serve, spawn
from bench.peers.prefect_peer import NAME

_THREADS = 8
_QUERY_S = 0.25


@task(cache_policy=NO_CACHE)
def step() -> None:
    """Run the command of a step."""
    spawn()


@flow(name=NAME, task_runner=ThreadPoolTaskRunner(max_workers=_THREADS))
def run(steps: int, chained: bool) -> None:
    """Run a run."""
    if steps == 1 or chained:
        for _ in range(steps):
            step()
        return
    for future in [step.submit() for _ in range(steps)]:
        future.result()


async def _serve(name: str, slots: int) -> None:
    # ``run.serve`` does this too, but cannot ask the server more than once a second.
    runner = Runner(name=name, limit=slots, query_seconds=_QUERY_S, pause_on_shutdown=False)
    await runner.add_flow(run, name=NAME)
    await runner.start()


def _wait(client: Any, flow_run: UUID) -> None:
    while not (state := client.read_flow_run(flow_run).state).is_final():
        time.sleep(SLOW_POLL_S)
    if not state.is_completed():
        raise RuntimeError(f"a run ended as {state}")


def _client() -> None:
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{NAME}/{NAME}").id

        def submit(steps: int, chained: bool) -> Sequence[Wait]:
            asked = {"steps": steps, "chained": chained}
            started = client.create_flow_run_from_deployment(deployment, parameters=asked).id
            return [lambda _poll_s: _wait(client, started)]

        serve(submit)


def main(command: str, name: str, slots: str) -> None:
    """Be a worker or the client."""
    if command == "worker":
        asyncio.run(_serve(name, int(slots)))
    else:
        _client()


if __name__ == "__main__":
    main(*sys.argv[1:])
