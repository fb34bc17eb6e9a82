"""How the past runs of a DAG went: an addition to Dagu's API."""

from typing import Any

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.representations import json_values
from services.api.requests import checked_values
from services.api.response_schemas.statistics import StatisticsSchema
from services.api.run_details.statistics import (
    Durations,
    durations,
    failure_groups,
    milliseconds_between,
    step_durations,
)

__all__ = ["STATISTICS"]

STATISTICS = Operations()
_MOST_STEPS = 20_000


class StatisticsQuery(Query):
    runs: int = Field(default=100, ge=1, le=500, description="how many of the newest ended runs to look at")


@STATISTICS.get("/dags/{fileName}/statistics", id="getDAGStatistics", response=StatisticsSchema)
def statistics(call: Call, query: StatisticsQuery, file_name: str) -> ApiResponse:
    """Return how long the newest ended runs of a DAG and their steps took, and their failures by message.

    The percentiles count successes only. If the runs have very many steps, ``steps`` covers fewer of the runs. If no
    stored DAG has the file name ``fileName``, the runs are those whose DAG name is ``fileName``.
    """
    stem = checked_values.file_name(file_name)
    dag = call.deps.reads.dag(stem)
    runs = call.deps.reads.ended_runs(dag.dag_name if dag else stem, limit=query.runs)
    steps = call.deps.reads.ended_steps([run.run_key for run in runs], most=_MOST_STEPS)
    took = {run.run_key: milliseconds_between(run.started_at, run.finished_at) for run in runs}
    of_all = durations(took[run.run_key] for run in runs if run.status.successful)
    zone = call.deps.zone
    return ok(
        {
            "runs": [
                {
                    "dagRunId": run.dag_run_id,
                    "statusLabel": run.status.value,
                    "startedAt": json_values.milliseconds(run.started_at, zone),
                    "durationMs": took[run.run_key],
                }
                for run in runs
            ],
            **({"duration": _durations(of_all)} if of_all else {}),
            "steps": [{"name": name, **_durations(found)} for name, found in step_durations(steps).items()],
            "failures": [
                {
                    "stepName": group.step,
                    "message": group.message,
                    "count": group.count,
                    "dagRunId": group.dag_run_id,
                    "at": json_values.timestamp(group.at, zone),
                }
                for group in failure_groups(runs, steps)
            ],
        }
    )


def _durations(found: Durations) -> dict[str, Any]:
    return {"count": found.count, "p50Ms": found.p50_ms, "p95Ms": found.p95_ms}
