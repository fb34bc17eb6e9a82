"""The flow that Prefect's workers run, and the client that deploys and starts it. ``prefect_peer`` starts both."""

# mypy: disable-error-code="import-not-found,untyped-decorator,misc"

import sys
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.task_runners import ThreadPoolTaskRunner

from bench.peers.client import SLOW_POLL_S, Wait, serve, spawn
from bench.peers.prefect_peer import NAME

_ROOT = Path(__file__).parents[2]
_THREADS = 8


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


def _deploy(client: Any) -> Any:
    client.create_work_pool(WorkPoolCreate(name=NAME, type="process"))
    source = run.from_source(source=str(_ROOT), entrypoint=f"{Path(__file__).relative_to(_ROOT)}:run")
    return source.deploy(name=NAME, work_pool_name=NAME, print_next_steps=False)


def _wait(client: Any, flow_run: UUID) -> None:
    while not (state := client.read_flow_run(flow_run).state).is_final():
        time.sleep(SLOW_POLL_S)
    if not state.is_completed():
        raise RuntimeError(f"a run ended as {state}")


def main() -> None:
    """Be the client."""
    with get_client(sync_client=True) as client:
        with redirect_stdout(sys.stderr):  # What it prints must not look like an answer.
            deployment = _deploy(client)

        def submit(steps: int, chained: bool) -> Sequence[Wait]:
            asked = {"steps": steps, "chained": chained}
            started = client.create_flow_run_from_deployment(deployment, parameters=asked).id
            return [lambda _poll_s: _wait(client, started)]

        serve(submit)


if __name__ == "__main__":
    main()
