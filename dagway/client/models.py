# ruff: noqa: N815 - the fields are the JSON names
"""The answers of the client: the models behind the OpenAPI document, under short names."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from services.api.response_schemas.attempts import AttemptSchema as Attempt
from services.api.response_schemas.dags import DAGDetailsResponseSchema as DagDetails
from services.api.response_schemas.dags import DAGFileSchema as Dag
from services.api.response_schemas.dags import ListDAGsResponseSchema as DagPage
from services.api.response_schemas.dags import ValidateResponseSchema as Validation
from services.api.response_schemas.queues import QueueSchema as Queue
from services.api.response_schemas.runs import DAGRunDetailsSchema as RunDetails
from services.api.response_schemas.runs import DAGRunSummarySchema as Run
from services.api.response_schemas.runs import ListRunsResponseSchema as RunPage
from services.api.response_schemas.runs import LogSchema as Log
from services.api.response_schemas.runs import NodeSchema as Node

__all__ = [
    "ENDED",
    "Attempt",
    "Dag",
    "DagDetails",
    "DagPage",
    "Log",
    "Node",
    "Queue",
    "Run",
    "RunDetails",
    "RunEvent",
    "RunPage",
    "Validation",
]

ENDED = frozenset({"succeeded", "partially_succeeded", "failed", "aborted", "rejected"})
"""The values of ``statusLabel`` after which a run does not change, unless it is retried."""


class RunEvent(BaseModel):
    """A change of a run, or of one of its steps. ``id`` is its place in the stream.

    ``stepName`` is ``None`` for a change of the run itself. ``was`` and ``became`` are statuses.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    id: str
    name: str
    dagRunId: str
    rootDAGRunName: str
    rootDAGRunId: str
    seq: int
    at: str
    stepName: str | None
    was: str | None
    became: str
    why: str | None = None
    by: str | None = None

    @classmethod
    def of(cls, event_id: str, data: dict[str, Any]) -> "RunEvent":
        """Return the event of one message of a stream."""
        return cls.model_validate({"id": event_id, **data})
