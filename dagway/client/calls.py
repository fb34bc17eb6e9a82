"""The requests that a client can send, as data. Nothing here sends one."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dagway.client.api_call import ApiCall, model, no_content, path_of
from dagway.client.models import Attempt, DagDetails, DagPage, Log, Queue, RunDetails, RunPage, Validation

__all__ = ["ApiCall", "Params", "events_path"]

Params = str | Sequence[Any] | Mapping[str, Any]
"""Parameters of a run: by name, by position, or as text as on the command line (``NAME=Ada``)."""


def events_path(name: str, run_id: str) -> str:
    """Return the path of the event stream of a run."""
    return f"{path_of('dag-runs', name, run_id)}/events"


_RUN_PAGE = model(RunPage)
_RUN = model(RunDetails, "dagRunDetails")
_DAG_PAGE = model(DagPage)
_DAG = model(DagDetails)
_LOG = model(Log)
_ERRORS = model(list[str], "errors")
_RUN_ID = model(str, "dagRunId")


def _start_body(params: Params, run_id: str, **more: Any) -> dict[str, Any]:
    values = dict(params) if isinstance(params, Mapping) else params
    text = values if isinstance(values, str) else json.dumps(values, ensure_ascii=False)
    given = {"params": text if params else "", "dagRunId": run_id, **more}
    return {name: value for name, value in given.items() if value not in ("", None, False)}


def dags(*, name: str = "", tag: str = "", page: int = 1, per_page: int = 50) -> ApiCall[DagPage]:
    """Return one page of the DAGs. ``name`` is a part of their name."""
    query = {"name": name or None, "tag": tag or None, "page": page, "perPage": per_page}
    return ApiCall("GET", "/dags", _DAG_PAGE, query)


def dag(file_name: str) -> ApiCall[DagDetails]:
    """Return a DAG with its steps and its latest run."""
    return ApiCall("GET", path_of("dags", file_name), _DAG)


def create_dag(file_name: str, spec: str = "") -> ApiCall[None]:
    """Store a new DAG. ``spec`` is its YAML; without it the DAG has one example step."""
    return ApiCall("POST", "/dags", no_content, body={"name": file_name, "spec": spec} if spec else {"name": file_name})


def spec(file_name: str) -> ApiCall[str]:
    """Return the YAML of a DAG."""
    return ApiCall("GET", f"{path_of('dags', file_name)}/spec", model(str, "spec"))


def update_spec(file_name: str, spec: str) -> ApiCall[list[str]]:
    """Replace the YAML of a DAG. Returns the errors of the new one; if it has any, it is not stored."""
    return ApiCall("PUT", f"{path_of('dags', file_name)}/spec", _ERRORS, body={"spec": spec})


def delete_dag(file_name: str) -> ApiCall[None]:
    """Delete a DAG. Its runs are kept."""
    return ApiCall("DELETE", path_of("dags", file_name), no_content)


def validate(spec: str, *, name: str = "") -> ApiCall[Validation]:
    """Check YAML without storing it."""
    return ApiCall("POST", "/dags/validate", model(Validation), body={"spec": spec, "name": name})


def suspend(file_name: str) -> ApiCall[None]:
    """Switch the schedule of a DAG off."""
    return ApiCall("POST", f"{path_of('dags', file_name)}/suspend", no_content, body={"suspend": True})


def resume(file_name: str) -> ApiCall[None]:
    """Switch the schedule of a DAG on."""
    return ApiCall("POST", f"{path_of('dags', file_name)}/suspend", no_content, body={"suspend": False})


def start(file_name: str, *, params: Params = "", run_id: str = "", singleton: bool = False) -> ApiCall[str]:
    """Start a run of a DAG at once, and return the run's id.

    ``singleton``: refuse the start if a run of the DAG is running.
    """
    body = _start_body(params, run_id, singleton=singleton)
    return ApiCall("POST", f"{path_of('dags', file_name)}/start", _RUN_ID, body=body)


def enqueue(
    file_name: str, *, params: Params = "", run_id: str = "", queue: str = "", priority: str = "low"
) -> ApiCall[str]:
    """Queue a run of a DAG, and return the run's id. ``queue``: another queue than that of the DAG."""
    body = _start_body(params, run_id, queue=queue, priority=priority)
    return ApiCall("POST", f"{path_of('dags', file_name)}/enqueue", _RUN_ID, body=body)


def start_spec(name: str, spec: str, *, params: Params = "", run_id: str = "") -> ApiCall[str]:
    """Start a run from YAML that the server does not keep as a DAG, and return the run's id."""
    return ApiCall("POST", "/dag-runs", _RUN_ID, body=_start_body(params, run_id, name=name, spec=spec))


def runs(
    *,
    name: str = "",
    search: str = "",
    tag: str = "",
    status: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: str = "",
    limit: int | None = None,
) -> ApiCall[RunPage]:
    """Return one page of the runs, the newest first.

    The next page begins at ``cursor``, the ``nextCursor`` of this one. ``search`` is a part of a DAG's name or of a
    run's id. ``since`` and ``until`` have a time zone; with them there is one page only, of at most 1000 runs.

    Raises:
        ValueError: a cursor or a limit with ``since`` or ``until``.
    """
    query = {"name": name or None, "search": search or None, "tag": tag or None, "status": status}
    if since or until:
        if cursor or limit is not None:
            raise ValueError("cursor and limit cannot be combined with since and until")
        times = {"fromDate": since, "toDate": until}
        query |= {key: int(at.timestamp()) for key, at in times.items() if at}
    else:
        # The empty cursor asks for the first page. Without any, the gateway ignores the limit.
        query |= {"cursor": cursor, "limit": limit}
    return ApiCall("GET", "/dag-runs", _RUN_PAGE, query)


def run(name: str, run_id: str = "latest") -> ApiCall[RunDetails]:
    """Return a run with its steps. ``name`` is the name of its DAG."""
    return ApiCall("GET", path_of("dag-runs", name, run_id), _RUN)


def attempts(name: str, run_id: str) -> ApiCall[list[Attempt]]:
    """Return all attempts of the steps of a run."""
    return ApiCall("GET", f"{path_of('dag-runs', name, run_id)}/attempts", model(list[Attempt], "attempts"))


def outputs(name: str, run_id: str) -> ApiCall[dict[str, str]]:
    """Return the outputs of the steps of a run, by name. The output ``MY_NAME`` is called ``myName``, as in Dagu."""
    return ApiCall("GET", f"{path_of('dag-runs', name, run_id)}/outputs", model(dict[str, str], "outputs"))


def step_log(
    name: str, run_id: str, step: str, *, stream: str = "stdout", offset: int = 1, limit: int | None = None
) -> ApiCall[Log]:
    """Return lines of what a step printed. ``offset`` is the first line, from 1; ``stream`` is stdout or stderr."""
    query = {"stream": stream, "offset": offset, "limit": limit}
    return ApiCall("GET", f"{path_of('dag-runs', name, run_id)}/steps{path_of(step)}/log", _LOG, query)


def stop(name: str, run_id: str) -> ApiCall[None]:
    """Stop a run: its steps get their stop signal."""
    return ApiCall("POST", f"{path_of('dag-runs', name, run_id)}/stop", no_content)


def retry(name: str, run_id: str, *, step: str = "") -> ApiCall[None]:
    """Retry the steps of a run that did not succeed, or only ``step``, and what depends on them."""
    body = {"dagRunId": run_id, "stepName": step} if step else {"dagRunId": run_id}
    return ApiCall("POST", f"{path_of('dag-runs', name, run_id)}/retry", no_content, body=body)


def dequeue(name: str, run_id: str) -> ApiCall[None]:
    """Remove a queued run from its queue."""
    return ApiCall("POST", f"{path_of('dag-runs', name, run_id)}/dequeue", no_content)


def approve(name: str, run_id: str, step: str, *, inputs: Mapping[str, str] | None = None) -> ApiCall[None]:
    """Approve a step that waits for approval. ``inputs`` are the values that it asks for."""
    body = {"inputs": dict(inputs)} if inputs else {}
    return ApiCall("POST", f"{path_of('dag-runs', name, run_id)}/steps{path_of(step)}/approve", no_content, body=body)


def reject(name: str, run_id: str, step: str, *, reason: str = "") -> ApiCall[None]:
    """Reject a step that waits for approval. Its run ends as ``rejected``."""
    body = {"reason": reason} if reason else {}
    return ApiCall("POST", f"{path_of('dag-runs', name, run_id)}/steps{path_of(step)}/reject", no_content, body=body)


def queues() -> ApiCall[list[Queue]]:
    """Return the queues with their runs."""
    return ApiCall("GET", "/queues", model(list[Queue], "queues"))
