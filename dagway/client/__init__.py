"""The Python client of the REST API.

``Client`` blocks, and ``AsyncClient`` is for ``asyncio``; both have the same methods:

    from dagway.client import Client

    with Client("http://127.0.0.1:8080") as client:
        run_id = client.start("hello", params={"NAME": "Ada"})
        run = client.wait("hello", run_id)
        print(run.statusLabel, client.step_log("hello", run_id, "report").content)

Answers are pydantic models whose attributes have the names of the fields in the OpenAPI document. Requests are repeated
when the gateway cannot be reached or is unavailable for a moment. Each write carries an ``Idempotency-Key``, so a
repetition has no second effect.
"""

from dagway.client.blocking import Client
from dagway.client.calls import Params
from dagway.client.errors import ClientError, ConnectionFailed, RequestRefused, WaitTimeout
from dagway.client.models import (
    ENDED,
    Attempt,
    Dag,
    DagDetails,
    DagPage,
    Log,
    Node,
    Queue,
    Run,
    RunDetails,
    RunEvent,
    RunPage,
    Validation,
)
from dagway.client.on_asyncio import AsyncClient

__all__ = [
    "ENDED",
    "AsyncClient",
    "Attempt",
    "Client",
    "ClientError",
    "ConnectionFailed",
    "Dag",
    "DagDetails",
    "DagPage",
    "Log",
    "Node",
    "Params",
    "Queue",
    "RequestRefused",
    "Run",
    "RunDetails",
    "RunEvent",
    "RunPage",
    "Validation",
    "WaitTimeout",
]
