"""Builds the JSON of runs with their nodes, for every route that returns it: gathers the facts, then makes it once."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.api.deps import Deps
from services.api.representations import run_json
from services.api.representations.run_json import RunFacts
from services.api.run_details.called_runs import called_earlier
from services.api.run_details.specs import dags_of_runs
from services.api.run_details.waiting import nodes_wait_for, runs_wait_for
from shared.store.reads.reader import RunRow

__all__ = ["run_details", "run_history"]


def run_details(deps: Deps, run: RunRow, now: datetime) -> dict[str, Any]:
    """Return a run with its nodes, and what it and each of its nodes waits for at ``now``."""
    dag = dags_of_runs(deps, [run])[run.run_key]
    facts = RunFacts(
        dag=dag,
        called_earlier=called_earlier(deps.reads, run),
        waits_for=runs_wait_for(deps, [run], now).get(run.run_key, ""),
        nodes_wait_for=nodes_wait_for(deps, run, dag, now),
    )
    return run_json.details(run, facts, deps.zone)


def run_history(deps: Deps, runs: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Return runs with their nodes, but not what those wait for."""
    dags = dags_of_runs(deps, runs)
    return [
        run_json.details(
            run, RunFacts(dag=dags[run.run_key], called_earlier=called_earlier(deps.reads, run)), deps.zone
        )
        for run in runs
    ]
