"""The requests of operations: logs. Written by ``python -m scripts.client_operations``."""

from typing import Literal

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.runs import LogHitsSchema, LogSchema

__all__ = [
    "download_dag_run_log",
    "download_dag_run_step_log",
    "download_sub_dag_run_log",
    "download_sub_dag_run_step_log",
    "get_dag_run_log",
    "get_dag_run_step_log",
    "get_sub_dag_run_log",
    "get_sub_dag_run_step_log",
    "search_step_log",
    "search_sub_step_log",
]


def get_dag_run_log(
    name: str,
    dag_run_id: str,
    *,
    tail: int | None = None,
    head: int | None = None,
    offset: int | None = None,
    limit: int | None = None,
) -> ApiCall[LogSchema]:
    """Return the log of a run: one line for each transition of the run and its nodes."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "log"),
        model(LogSchema),
        query={"tail": tail, "head": head, "offset": offset, "limit": limit},
    )


def get_sub_dag_run_log(
    name: str,
    dag_run_id: str,
    sub_dag_run_id: str,
    *,
    tail: int | None = None,
    head: int | None = None,
    offset: int | None = None,
    limit: int | None = None,
) -> ApiCall[LogSchema]:
    """Return the log of a sub-run: one line for each transition of the sub-run and its nodes."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "log"),
        model(LogSchema),
        query={"tail": tail, "head": head, "offset": offset, "limit": limit},
    )


def get_dag_run_step_log(
    name: str,
    dag_run_id: str,
    step_name: str,
    *,
    tail: int | None = None,
    head: int | None = None,
    offset: int | None = None,
    limit: int | None = None,
    stream: Literal["stdout", "stderr"] | None = None,
    attempt: int | None = None,
) -> ApiCall[LogSchema]:
    """Return lines that a step or handler wrote to stdout or stderr; none if it never ran."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "steps", step_name, "log"),
        model(LogSchema),
        query={"tail": tail, "head": head, "offset": offset, "limit": limit, "stream": stream, "attempt": attempt},
    )


def get_sub_dag_run_step_log(
    name: str,
    dag_run_id: str,
    sub_dag_run_id: str,
    step_name: str,
    *,
    tail: int | None = None,
    head: int | None = None,
    offset: int | None = None,
    limit: int | None = None,
    stream: Literal["stdout", "stderr"] | None = None,
    attempt: int | None = None,
) -> ApiCall[LogSchema]:
    """Return lines that a step or handler of a sub-run wrote to stdout or stderr; none if it never ran."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "steps", step_name, "log"),
        model(LogSchema),
        query={"tail": tail, "head": head, "offset": offset, "limit": limit, "stream": stream, "attempt": attempt},
    )


def search_step_log(
    name: str,
    dag_run_id: str,
    step_name: str,
    *,
    q: str,
    offset: int | None = None,
    limit: int | None = None,
    stream: Literal["stdout", "stderr"] | None = None,
    attempt: int | None = None,
) -> ApiCall[LogHitsSchema]:
    """Return the numbers of the lines of a step's log that contain a text."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "steps", step_name, "log", "search"),
        model(LogHitsSchema),
        query={"q": q, "offset": offset, "limit": limit, "stream": stream, "attempt": attempt},
    )


def search_sub_step_log(
    name: str,
    dag_run_id: str,
    sub_dag_run_id: str,
    step_name: str,
    *,
    q: str,
    offset: int | None = None,
    limit: int | None = None,
    stream: Literal["stdout", "stderr"] | None = None,
    attempt: int | None = None,
) -> ApiCall[LogHitsSchema]:
    """Search the log of a step in a sub-run; return the numbers of the lines that contain a text."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "steps", step_name, "log", "search"),
        model(LogHitsSchema),
        query={"q": q, "offset": offset, "limit": limit, "stream": stream, "attempt": attempt},
    )


def download_dag_run_log(name: str, dag_run_id: str) -> ApiCall[str]:
    """Return the whole log of a run as a file: one line for each transition of the run and its nodes."""
    return ApiCall("GET", path_of("dag-runs", name, dag_run_id, "log", "download"), model(str), is_text=True)


def download_sub_dag_run_log(name: str, dag_run_id: str, sub_dag_run_id: str) -> ApiCall[str]:
    """Return the whole log of a sub-run as a file."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "log", "download"),
        model(str),
        is_text=True,
    )


def download_dag_run_step_log(
    name: str,
    dag_run_id: str,
    step_name: str,
    *,
    stream: Literal["stdout", "stderr"] | None = None,
    attempt: int | None = None,
) -> ApiCall[str]:
    """Return all that a step or handler wrote to stdout, or all that it wrote to stderr, as a file."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "steps", step_name, "log", "download"),
        model(str),
        query={"stream": stream, "attempt": attempt},
        is_text=True,
    )


def download_sub_dag_run_step_log(
    name: str,
    dag_run_id: str,
    sub_dag_run_id: str,
    step_name: str,
    *,
    stream: Literal["stdout", "stderr"] | None = None,
    attempt: int | None = None,
) -> ApiCall[str]:
    """Return all that a step or handler of a sub-run wrote to stdout or stderr, as a file."""
    return ApiCall(
        "GET",
        path_of("dag-runs", name, dag_run_id, "sub-dag-runs", sub_dag_run_id, "steps", step_name, "log", "download"),
        model(str),
        query={"stream": stream, "attempt": attempt},
        is_text=True,
    )
