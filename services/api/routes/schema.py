"""The JSON Schema of workflows, where editors look for it: among the assets, with or without a bundle."""

from functools import cache

from services.api.operations import Answer, Call, Operations, json_bytes
from shared.language.schema import dag_schema

__all__ = ["SCHEMA"]

SCHEMA = Operations()
_AGE_S = 3600


@SCHEMA.get("/assets/dag.schema.json", id="getDagSchema", role="public")
def schema(_call: Call) -> Answer:
    """Return what a workflow file may hold."""
    return Answer(200, _text(), headers={"Cache-Control": f"max-age={_AGE_S}"})


@cache
def _text() -> bytes:
    return json_bytes(dag_schema())
