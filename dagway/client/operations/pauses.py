"""The requests of operations: pauses. Written by ``python -m scripts.client_operations``."""

from typing import Literal

from dagway.client.api_call import ApiCall, model, path_of
from services.api.response_schemas.pauses import PausedSchema, PausesSchema

__all__ = ["list_pauses", "pause_all", "pause_dag", "pause_queue", "resume_all", "resume_dag", "resume_queue"]


def list_pauses() -> ApiCall[PausesSchema]:
    """List the pauses."""
    return ApiCall("GET", "/pauses", model(PausesSchema))


def pause_all(*, reason: str | None = None) -> ApiCall[PausedSchema]:
    """Pause everything: start no queued and no scheduled run."""
    return ApiCall("POST", "/pause", model(PausedSchema), body={"reason": reason})


def resume_all(*, catchup: Literal["none", "latest", "all"] | None = None) -> ApiCall[PausedSchema]:
    """End the pause of everything."""
    return ApiCall("POST", "/resume", model(PausedSchema), body={"catchup": catchup})


def pause_queue(name: str, *, reason: str | None = None) -> ApiCall[PausedSchema]:
    """Pause a queue: start none of its queued runs."""
    return ApiCall("POST", path_of("queues", name, "pause"), model(PausedSchema), body={"reason": reason})


def resume_queue(name: str, *, catchup: Literal["none", "latest", "all"] | None = None) -> ApiCall[PausedSchema]:
    """End the pause of a queue: its queued runs start, including those that schedules queued meanwhile."""
    return ApiCall("POST", path_of("queues", name, "resume"), model(PausedSchema), body={"catchup": catchup})


def pause_dag(file_name: str, *, reason: str | None = None) -> ApiCall[PausedSchema]:
    """Pause a DAG: start none of its scheduled or queued runs."""
    return ApiCall("POST", path_of("dags", file_name, "pause"), model(PausedSchema), body={"reason": reason})


def resume_dag(file_name: str, *, catchup: Literal["none", "latest", "all"] | None = None) -> ApiCall[PausedSchema]:
    """End the pause of a DAG."""
    return ApiCall("POST", path_of("dags", file_name, "resume"), model(PausedSchema), body={"catchup": catchup})
