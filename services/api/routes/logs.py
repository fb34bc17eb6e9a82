"""Logs by lines: a step's two streams, and the run's own log, told from its transitions."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import field_validator

from services.api.operations import Answer, Call, Operations, Query, ok
from services.api.problems import not_found
from services.api.representations import json_values
from services.api.routes.runs import find_run
from shared.store.reads.reader import LogWindow, RunRow, TransitionRow

__all__ = ["LOGS", "LogQuery", "StepLogQuery", "log_of_run", "log_of_step"]

LOGS = Operations()
_RUN = "/dag-runs/{name}/{dagRunId}"
_DEFAULT_LINES = 1000
_MAX_LINES = 10_000
_MAX_OFFSET = 2**53


class LogQuery(Query):
    """``tail`` goes before ``head``, that before ``offset``; less than 1 is as if absent."""

    tail: int = 0
    head: int = 0
    offset: int = 0
    limit: int = 0

    @field_validator("tail", "head", "limit")
    @classmethod
    def _clamped(cls, value: int) -> int:
        return max(0, min(value, _MAX_LINES))

    @property
    def first(self) -> int:
        """The first line wanted, counted from 0; meaningless for a tail."""
        return 0 if self.head else min(max(self.offset, 1), _MAX_OFFSET) - 1

    @property
    def lines(self) -> int:
        return self.tail or self.head or self.limit or _DEFAULT_LINES


class StepLogQuery(LogQuery):
    """A step has two streams."""

    stream: Literal["stdout", "stderr"] = "stdout"


@LOGS.get(f"{_RUN}/log", id="getDAGRunLog", query=LogQuery)
def run_log(call: Call, query: LogQuery, name: str, dag_run_id: str) -> Answer:
    """Return what happened to a run, a line for each change."""
    return log_of_run(call, query, find_run(call, name, dag_run_id))


@LOGS.get(f"{_RUN}/steps/{{stepName}}/log", id="getDAGRunStepLog", query=StepLogQuery)
def step_log(call: Call, query: StepLogQuery, name: str, dag_run_id: str, step_name: str) -> Answer:
    """Return what a step, or a handler by its name, wrote; a step that never ran has an empty log."""
    return log_of_step(call, query, find_run(call, name, dag_run_id), step_name)


def log_of_run(call: Call, query: LogQuery, run: RunRow) -> Answer:
    """Answer with the run's own log."""
    every = [_line(call, change).encode() for change in call.deps.reads.transitions(run.run_key)]
    first = max(len(every) - query.lines, 0) if query.tail else query.first
    return ok(_log(LogWindow(tuple(every[first : first + query.lines]), first, len(every)), query))


def log_of_step(call: Call, query: StepLogQuery, run: RunRow, step_name: str) -> Answer:
    """Answer with one stream of one step's, or handler's, log."""
    # Steps come before handlers, so a step that is called like one is the step.
    node = next((each for each in run.nodes or () if each.name == step_name and each.kind != "prepare"), None)
    if node is None:
        raise not_found(f"Run {run.dag_run_id!r} has no step {step_name!r}")
    reads = call.deps.reads
    # With one file for both, either stream is all of it (``logOutput: merged``).
    stream = "stdout" if node.stdout and not node.stderr else query.stream
    if query.tail:
        window = reads.log_tail(run.run_key, node.idx, stream, limit=query.lines)
    else:
        window = reads.log_lines(run.run_key, node.idx, stream, offset=query.first, limit=query.lines)
    return ok(_log(window, query))


def _log(window: LogWindow, query: LogQuery) -> dict[str, Any]:
    count = len(window.lines)
    more = count < window.total if query.tail or query.head else window.offset + count < window.total and count > 0
    return {
        "content": _text(window.lines),
        "lineCount": count,
        "totalLines": window.total,
        "hasMore": more,
        "isEstimate": False,
    }


def _text(lines: Sequence[bytes]) -> str:
    # A line may end as on Windows, or as headers do over HTTP.
    return b"\n".join(line.removesuffix(b"\r") for line in lines).decode("utf-8", "replace")


def _line(call: Call, change: TransitionRow) -> str:
    at = json_values.timestamp(change.at, call.deps.zone)
    what = "run" if change.node is None else f"step {change.node_name or change.node}"
    why = f": {change.why}" if change.why else ""
    by = f" (by {change.by})" if change.by else ""
    return f"{at} {what} {change.was} -> {change.became}{why}{by}".replace("\n", " ")
