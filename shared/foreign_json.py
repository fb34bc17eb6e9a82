"""JSON that somebody else has written: a server, a file that a workflow names, a value of a request."""

import json
from typing import Any

__all__ = ["read_json"]


def read_json(data: str | bytes) -> Any:
    """Return the content of a JSON text. Raises ``ValueError`` if it is not JSON or nested too deeply."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
