"""The attempts of a run's steps: additions to Dagu's API, which has only the last one."""

from pydantic import Field

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import not_found
from services.api.representations.attempts_json import attempts_json
from services.api.response_schemas.attempts import AttemptsSchema
from services.api.run_details.lookup import find_run

__all__ = ["ATTEMPTS"]

ATTEMPTS = Operations()
_RUN = "/dag-runs/{name}/{dagRunId}"


class AttemptsQuery(Query):
    step_name: str = Field(default="", alias="stepName", description="only the attempts of this step or handler")


@ATTEMPTS.get(
    f"{_RUN}/sub-dag-runs/{{subDAGRunId}}/attempts",
    id="listSubDAGRunAttempts",
    response=AttemptsSchema,
    text="List every attempt of each step and handler of a sub-run, oldest first.",
)
@ATTEMPTS.get(f"{_RUN}/attempts", id="listDAGRunAttempts", response=AttemptsSchema)
def attempts(call: Call, query: AttemptsQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str = "") -> ApiResponse:
    """List every attempt of each step and handler, oldest first; a retry of the run adds to them.

    ``number`` counts the tries of a step over all attempts of the run. It is the value of the parameter ``attempt`` of
    the step's log. An attempt that was withdrawn before it began is no try and has no number.
    """
    run = find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    node = run.shown_node(query.step_name) if query.step_name else None
    if query.step_name and node is None:
        raise not_found(f"Run {run.dag_run_id!r} has no step {query.step_name!r}")
    found = call.deps.reads.attempts(run.run_key, None if node is None else node.idx)
    return ok({"attempts": attempts_json(found, call.deps.zone)})
