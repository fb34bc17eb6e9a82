"""Builds the JSON of runs: reads what the JSON needs besides the rows, then calls ``run_json``."""

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

__all__ = ["run_details", "run_history", "run_summaries"]


def run_details(deps: Deps, run: RunRow, now: datetime) -> dict[str, Any]:
    """Return the JSON of a run with its nodes, and what the run and each node wait for at ``now``."""
    dag = dags_of_runs(deps, [run])[run.run_key]
    facts = RunFacts(
        dag=dag,
        called_earlier=called_earlier(deps.reads, run),
        waits_for=runs_wait_for(deps, [run], now).get(run.run_key, ""),
        nodes_wait_for=nodes_wait_for(deps, run, dag, now),
        attempt_counts=_attempt_counts(deps, run),
    )
    return run_json.details(run, facts, deps.zone)


def run_summaries(deps: Deps, runs: Sequence[RunRow], now: datetime) -> list[dict[str, Any]]:
    """Return the JSON of runs for lists, with what each waits for at ``now``."""
    waits_for = runs_wait_for(deps, runs, now)
    return [run_json.summary(run, deps.zone, waits_for.get(run.run_key, "")) for run in runs]


def _attempt_counts(deps: Deps, run: RunRow) -> dict[int, int]:
    """Return, by node index, how many attempts a node has had, where it is more than one."""
    if run.run_attempt == 1 and all(node.number <= 1 for node in run.nodes or ()):
        return {}
    return {idx: count for idx, count in deps.reads.attempt_counts(run.run_key).items() if count > 1}


def run_history(deps: Deps, runs: Sequence[RunRow]) -> list[dict[str, Any]]:
    """Return the JSON of runs with their nodes, without what they wait for."""
    dags = dags_of_runs(deps, runs)
    return [
        run_json.details(
            run, RunFacts(dag=dags[run.run_key], called_earlier=called_earlier(deps.reads, run)), deps.zone
        )
        for run in runs
    ]
