"""The DAGs of Airflow. Files in its folder of DAGs call this, each for one number of steps."""

# mypy: disable-error-code="import-not-found,untyped-decorator,misc"

from typing import Any

from airflow.sdk import DAG, chain, task

from bench.peers.client import spawn

__all__ = ["dag"]


@task
def step() -> None:
    """Run the command of a step."""
    spawn()


def dag(name: str, steps: int, *, chained: bool) -> Any:
    """Return a DAG of steps in a chain or side by side."""
    with DAG(name, schedule=None) as made:
        tasks = [step.override(task_id=f"s{number}")() for number in range(steps)]
        if chained:
            chain(*tasks)
    return made
