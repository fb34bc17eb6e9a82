"""The JSON Schema of a DAG's parameters, for forms. The worker checks a run's parameters by it in any case."""

import os
import stat
from pathlib import Path
from typing import Any

from shared.foreign_json import read_json
from shared.language.model import Dag
from shared.language.parameters import inline_schema

__all__ = ["param_schema"]

_MAX_BYTES = 65_536


def param_schema(dag: Dag, folder: Path | None) -> dict[str, Any]:
    """Return ``{"paramSchema": …}``, or nothing if the gateway cannot know the schema.

    It knows a schema that the spec contains, and one in a file of the DAG folder, if this machine has that folder. It
    reads no other files and no URLs: whoever may write a spec must not read the gateway's files by it.
    """
    schema = inline_schema(dag.param_schema) or (_from_file(dag.param_schema, folder) if folder else None)
    return {"paramSchema": schema} if schema else {}


def _from_file(reference: str, folder: Path) -> dict[str, Any] | None:
    """Read a file in the folder, which steps may be able to write: no pipe or device, since reading it may not end."""
    try:
        path = (folder / reference).resolve()
        if not reference or not path.is_relative_to(folder.resolve()):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            data = os.read(fd, _MAX_BYTES + 1)
        finally:
            os.close(fd)
        schema = read_json(data) if len(data) <= _MAX_BYTES else None
    except (OSError, ValueError):
        return None
    return schema if isinstance(schema, dict) else None
