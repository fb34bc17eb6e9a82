"""jq filters: ``command`` is the filter, ``script`` is the JSON input, ``config.raw`` prints strings without quotes.

Source: docs/executors.md#executors and docs/workflow-reference.md#config-by-type.
"""

from services.worker.executors.base import Job, StepIO
from services.worker.executors.child_process import run_child
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate, positive_seconds
from services.worker.process import jq_filter
from services.worker.process.outcome import Result
from shared.errors import InvalidInput

__all__ = ["JqExecutor"]


class JqExecutor:
    """Applies one filter to one JSON text."""

    def __init__(self) -> None:
        if missing := jq_filter.missing():
            raise InvalidInput(f"jq steps need {missing}")

    def run(self, job: Job, io: StepIO) -> Result:
        """Print each result of the filter. An invalid filter or input, or an error of the filter, is exit code 1."""
        if not job.step.commands:
            raise InvalidInput("a jq step needs command: <filter>")
        seconds = positive_seconds(job.step.config, "timeout", jq_filter.CPU_S) or jq_filter.CPU_S
        raw = str(job.step.config.get("raw", False)).lower() in {"true", "t", "1"}
        # The filter is never expanded, since $x and ${} have their own meaning in jq.
        order = jq_filter.order(job.step.commands[0].text, evaluate(job, job.step.script), seconds, raw=raw)
        ended = run_child(job, io, jq_filter.CHILD, order)
        if ended is None or ended.code == 0:
            return make_result(job)
        if ended.code is None:
            return make_result(job, jq_filter.exceeded(seconds), -1)
        tail = io.stderr_tail()
        return make_result(job, f"jq failed: {tail}" if tail else "", ended.code)
