"""The requests of operations: starts. Written by ``python -m scripts.client_operations``."""

from typing import Literal

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.runs import (
    RescheduleResponseSchema,
    StartedResponseSchema,
    StartResponseSchema,
    StartSyncResponseSchema,
)

__all__ = [
    "enqueue_dag_dag_run",
    "enqueue_dag_run_from_spec",
    "execute_dag",
    "execute_dag_run_from_spec",
    "execute_dag_sync",
    "reschedule_dag_run",
]


def execute_dag(
    file_name: str,
    *,
    params: str | None = None,
    dag_run_id: str | None = None,
    dag_name: str | None = None,
    singleton: bool | None = None,
    wait: str | None = None,
) -> ApiCall[StartedResponseSchema]:
    """Start a run of a stored DAG immediately, without queueing, even if the DAG or its queue is paused."""
    return ApiCall(
        "POST",
        path_of("dags", file_name, "start"),
        model(StartedResponseSchema),
        query={"wait": wait},
        body={"params": params, "dagRunId": dag_run_id, "dagName": dag_name, "singleton": singleton},
    )


def execute_dag_sync(
    file_name: str,
    *,
    timeout: int,
    params: str | None = None,
    dag_run_id: str | None = None,
    dag_name: str | None = None,
    singleton: bool | None = None,
) -> ApiCall[StartSyncResponseSchema]:
    """Start a run of a stored DAG immediately, and wait until it has ended or waits for approval."""
    return ApiCall(
        "POST",
        path_of("dags", file_name, "start-sync"),
        model(StartSyncResponseSchema),
        body={
            "params": params,
            "dagRunId": dag_run_id,
            "dagName": dag_name,
            "singleton": singleton,
            "timeout": timeout,
        },
        takes_s=timeout,
    )


def enqueue_dag_dag_run(
    file_name: str,
    *,
    params: str | None = None,
    dag_run_id: str | None = None,
    dag_name: str | None = None,
    singleton: bool | None = None,
    queue: str | None = None,
    priority: Literal["low", "high"] | None = None,
) -> ApiCall[StartResponseSchema]:
    """Queue a run of a stored DAG."""
    return ApiCall(
        "POST",
        path_of("dags", file_name, "enqueue"),
        model(StartResponseSchema),
        body={
            "params": params,
            "dagRunId": dag_run_id,
            "dagName": dag_name,
            "singleton": singleton,
            "queue": queue,
            "priority": priority,
        },
    )


def execute_dag_run_from_spec(
    *,
    spec: str,
    params: str | None = None,
    dag_run_id: str | None = None,
    dag_name: str | None = None,
    singleton: bool | None = None,
    name: str | None = None,
) -> ApiCall[StartResponseSchema]:
    """Start a run immediately, without queueing, from the spec in the request."""
    return ApiCall(
        "POST",
        "/dag-runs",
        model(StartResponseSchema),
        body={
            "params": params,
            "dagRunId": dag_run_id,
            "dagName": dag_name,
            "singleton": singleton,
            "spec": spec,
            "name": name,
        },
    )


def enqueue_dag_run_from_spec(
    *,
    spec: str,
    params: str | None = None,
    dag_run_id: str | None = None,
    dag_name: str | None = None,
    singleton: bool | None = None,
    name: str | None = None,
    queue: str | None = None,
    priority: Literal["low", "high"] | None = None,
) -> ApiCall[StartResponseSchema]:
    """Queue a run from the spec in the request."""
    return ApiCall(
        "POST",
        "/dag-runs/enqueue",
        model(StartResponseSchema),
        body={
            "params": params,
            "dagRunId": dag_run_id,
            "dagName": dag_name,
            "singleton": singleton,
            "spec": spec,
            "name": name,
            "queue": queue,
            "priority": priority,
        },
    )


def reschedule_dag_run(
    name: str,
    dag_run_id: str,
    *,
    new_dag_run_id: str | None = None,
    dag_name: str | None = None,
    singleton: bool | None = None,
    definition_strategy: str | None = None,
    use_current_dag_file: bool | None = None,
) -> ApiCall[RescheduleResponseSchema]:
    """Start a new run with the spec and parameters of an earlier run."""
    return ApiCall(
        "POST",
        path_of("dag-runs", name, dag_run_id, "reschedule"),
        model(RescheduleResponseSchema),
        body={
            "dagRunId": new_dag_run_id,
            "dagName": dag_name,
            "singleton": singleton,
            "definitionStrategy": definition_strategy,
            "useCurrentDagFile": use_current_dag_file,
        },
    )
