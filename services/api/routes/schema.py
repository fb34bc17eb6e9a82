"""The JSON Schema of DAG specs, at the path where Dagu's front end and editors expect it."""

from functools import cache

from services.api.operations import ApiResponse, Call, Operations, json_bytes
from shared.language.schema import dag_schema

__all__ = ["SCHEMA"]

SCHEMA = Operations()
_AGE_S = 3600


@SCHEMA.get("/assets/dag.schema.json", id="getDagSchema", role="public")
def schema(_call: Call) -> ApiResponse:
    """Return the JSON Schema of DAG specs, with which an editor completes and checks a spec."""
    return ApiResponse(200, _text(), headers={"Cache-Control": f"max-age={_AGE_S}"})


@cache
def _text() -> bytes:
    return json_bytes(dag_schema())
