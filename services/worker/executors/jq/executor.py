"""jq filters: ``command`` is the filter, ``script`` is the JSON input, ``config.raw`` prints strings without quotes.

The jq library holds the interpreter lock while it works, cannot be interrupted and lets a filter read the environment.
So it runs in a child process with an empty environment and limits on CPU time and memory.
Source: docs/executors.md#executors and docs/workflow-reference.md#config-by-type.
"""

from importlib.util import find_spec
from pathlib import Path

from services.worker.executors.base import Job, StepIO
from services.worker.executors.child_process import run_child
from services.worker.executors.in_process import evaluate, make_result, positive_seconds
from services.worker.process.outcome import Result
from shared.errors import InvalidInput
from shared.language.steps.requirements import REQUIREMENTS

__all__ = ["JqExecutor"]

_CHILD = Path(__file__).with_name("child.py")
_CPU_S = 60.0
_MEMORY = 1024 * 1024 * 1024


class JqExecutor:
    """Applies one filter to one JSON text."""

    def __init__(self) -> None:
        if find_spec("jq") is None:
            raise InvalidInput(f"jq steps need {REQUIREMENTS['jq']}")

    def run(self, job: Job, io: StepIO) -> Result:
        """Print each result of the filter. An invalid filter or input, or an error of the filter, is exit code 1."""
        if not job.step.commands:
            raise InvalidInput("a jq step needs command: <filter>")
        seconds = positive_seconds(job.step.config, "timeout", _CPU_S) or _CPU_S
        order = {
            # Never expanded, since $x and ${} have their own meaning in jq.
            "filter": job.step.commands[0].text,
            "input": evaluate(job, job.step.script),
            "raw": str(job.step.config.get("raw", False)).lower() in {"true", "t", "1"},
            "cpu_s": int(seconds) + 1,
            "memory": _MEMORY,
        }
        ended = run_child(job, io, _CHILD, order)
        if ended is None or ended.code == 0:
            return make_result(job)
        if ended.code is None:
            return make_result(
                job, f"jq exceeded a limit: {seconds:g}s of CPU time or {_MEMORY >> 20} MiB of memory", -1
            )
        tail = io.stderr_tail()
        return make_result(job, f"jq failed: {tail}" if tail else "", ended.code)
