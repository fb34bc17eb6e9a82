"""Apply a jq filter: of a jq step, or in a reference such as ``${OUT.items | length}``.

The jq library holds the interpreter lock while it works, cannot be interrupted and lets a filter read the environment.
So it runs in a child process with an empty environment and limits on CPU time and memory.
"""

import os
import tempfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.worker.process.capture import Interrupted
from services.worker.process.python_child import run_script
from services.worker.process.supervisor import Supervisor
from shared.language.expansion.scope import RunFilter
from shared.language.expansion.size import ExpansionError
from shared.language.steps.requirements import REQUIREMENTS

__all__ = ["CHILD", "CPU_S", "exceeded", "missing", "order", "run_filter_in"]

CHILD = Path(__file__).with_name("jq_child.py")
CPU_S = 60.0
_MEMORY = 1024 * 1024 * 1024
_MAX_BYTES = 1_048_576
_KEPT = 32


def missing() -> str:
    """Return what a filter needs and this worker does not have; empty if nothing is missing."""
    return str(REQUIREMENTS["jq"]) if find_spec("jq") is None else ""


def order(text: str, given: str, seconds: float, *, raw: bool = False, first: bool = False) -> dict[str, Any]:
    """Return the order to the child: the filter, its JSON input and the limits. ``first``: only the first result."""
    return {
        "filter": text,
        "input": given,
        "raw": raw,
        "first": first,
        "cpu_s": int(seconds) + 1,
        "memory": _MEMORY,
    }


def exceeded(seconds: float) -> str:
    """Return the error of a filter that the system has killed."""
    return f"jq exceeded a limit: {seconds:g}s of CPU time or {_MEMORY >> 20} MiB of memory"


def run_filter_in(supervisor: Supervisor) -> RunFilter:
    """Return a function that applies the filter of a reference to a JSON text, under the attempt's timeout and stop.

    It remembers the last results, since an expansion may ask more than once. The returned function raises
    ``ExpansionError`` and ``Interrupted``.
    """

    @lru_cache(maxsize=_KEPT)
    def run(given: str, text: str) -> str | None:
        if needed := missing():
            raise ExpansionError(f"the filter `{text}` in a reference needs {needed}")
        with tempfile.TemporaryFile() as out, Path(os.devnull).open("wb") as err:
            request = order(text, given, CPU_S, first=True)
            ended = run_script(supervisor, CHILD, request, cwd=os.sep, stdout=out.fileno(), stderr=err.fileno())
            if ended is None or supervisor.ended_early:
                raise Interrupted(text)
            if ended.code is None:
                raise ExpansionError(f"the filter `{text}` in a reference failed: {exceeded(CPU_S)}")
            if os.fstat(out.fileno()).st_size > _MAX_BYTES:
                raise ExpansionError(f"the filter `{text}` in a reference has a result of more than {_MAX_BYTES} bytes")
            result = os.pread(out.fileno(), _MAX_BYTES, 0).decode()
            return result if ended.code == 0 and result else None

    return run
