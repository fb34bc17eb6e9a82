"""Logs by lines: stdout and stderr of a step, and the log of a run, which is made from its transitions.

A log can also be downloaded as a whole, as Dagu 2 has it.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from pydantic import Field, field_validator

from services.api.operations import ApiResponse, Call, Operations, Query, ok
from services.api.problems import not_found
from services.api.representations import json_values
from services.api.representations.attempts_json import tries
from services.api.requests.workspace_names import shown
from services.api.response_schemas.runs import LogHitsSchema, LogSchema
from services.api.run_details.lookup import RUN, SUB_RUN, find_run, find_step
from shared.contracts.events import Stream
from shared.store.reads.reader import LogWindow, NodeRow, RunRow, TransitionRow
from shared.workspaces import plain_name

__all__ = ["LOGS"]

LOGS = Operations()
_DEFAULT_LINES = 1000
_MAX_LINES = 10_000
_MAX_OFFSET = 2**53
_MOST_SEARCHED = 100_000
"""How many lines one request searches."""
_TEXT_FILE = "text/plain"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class LogQuery(Query):
    """``tail`` takes precedence over ``head``, ``head`` over ``offset``; values below 1 count as absent."""

    tail: int = 0
    head: int = 0
    offset: int = 0
    limit: int = Field(default=0, description="how many lines to return, at most 10,000; absent or 0: 1000")

    @field_validator("tail", "head", "limit")
    @classmethod
    def _clamped(cls, value: int) -> int:
        return max(0, min(value, _MAX_LINES))

    @property
    def first(self) -> int:
        """The index of the first line to return, from 0. Not used with ``tail``."""
        return 0 if self.head else min(max(self.offset, 1), _MAX_OFFSET) - 1

    @property
    def lines(self) -> int:
        return self.tail or self.head or self.limit or _DEFAULT_LINES


class StepLogQuery(LogQuery):
    """``stream`` is the output stream of the step."""

    stream: Stream = "stdout"
    attempt: int = Field(
        default=0,
        ge=0,
        description="number of an attempt, see listDAGRunAttempts: only what it wrote; absent or 0: what all attempts "
        "wrote since the run was last started or retried",
    )


class DownloadQuery(Query):
    stream: Stream = "stdout"
    attempt: int = Field(default=0, ge=0, description="as in getDAGRunStepLog")


class LogSearchQuery(Query):
    q: str = Field(min_length=1, max_length=200, description="the text; the case of ASCII letters does not matter")
    offset: int = Field(default=1, ge=1, le=_MAX_OFFSET, description="the first line to search, from 1")
    limit: int = Field(default=1000, ge=1, le=_MAX_LINES, description="how many lines to return")
    stream: Stream = "stdout"
    attempt: int = Field(default=0, ge=0, description="as in getDAGRunStepLog")


@LOGS.get(
    f"{SUB_RUN}/log",
    id="getSubDAGRunLog",
    response=LogSchema,
    text="Return the log of a sub-run: one line for each transition of the sub-run and its nodes.",
)
@LOGS.get(f"{RUN}/log", id="getDAGRunLog", response=LogSchema)
def run_log(call: Call, query: LogQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str = "") -> ApiResponse:
    """Return the log of a run: one line for each transition of the run and its nodes."""
    every = _run_lines(call, find_run(call.deps, name, dag_run_id, sub_dag_run_id))
    first = max(len(every) - query.lines, 0) if query.tail else query.first
    return ok(_log(LogWindow(tuple(every[first : first + query.lines]), first, len(every)), query))


@LOGS.get(
    f"{SUB_RUN}/steps/{{stepName}}/log",
    id="getSubDAGRunStepLog",
    response=LogSchema,
    text="Return lines that a step or handler of a sub-run wrote to stdout or stderr; none if it never ran.",
)
@LOGS.get(f"{RUN}/steps/{{stepName}}/log", id="getDAGRunStepLog", response=LogSchema)
def step_log(
    call: Call, query: StepLogQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str = "", step_name: str
) -> ApiResponse:
    """Return lines that a step or handler wrote to stdout or stderr; none if it never ran.

    A response has about 16 MB at most: fewer lines than asked for, or the beginning of a single line.
    """
    reads, run = call.deps.reads, find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    node, stream, of = _place(call, query, run, step_name)
    if query.tail:
        window = reads.log_tail(run.run_key, node.idx, stream, limit=query.lines, of=of)
    else:
        window = reads.log_lines(run.run_key, node.idx, stream, offset=query.first, limit=query.lines, of=of)
    return ok(_log(window, query, call.deps.settings.log_charset))


@LOGS.get(
    f"{SUB_RUN}/steps/{{stepName}}/log/search",
    id="searchSubStepLog",
    response=LogHitsSchema,
    text="Search the log of a step in a sub-run; return the numbers of the lines that contain a text.",
)
@LOGS.get(f"{RUN}/steps/{{stepName}}/log/search", id="searchStepLog", response=LogHitsSchema)
def search_step_log(
    call: Call, query: LogSearchQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str = "", step_name: str
) -> ApiResponse:
    """Return the numbers of the lines of a step's log that contain a text.

    One request searches at most 100,000 lines, and says where the next one goes on.
    """
    run = find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    node, stream, of = _place(call, query, run, step_name)
    found = call.deps.reads.log_search(
        run.run_key,
        node.idx,
        stream,
        query.q.encode(call.deps.settings.log_charset, "replace"),
        offset=query.offset - 1,
        limit=query.limit,
        most=_MOST_SEARCHED,
        of=of,
    )
    return ok(
        {
            "lines": [line + 1 for line in found.lines],
            "nextLine": found.end + 1 if found.end < found.total else 0,
            "totalLines": found.total,
        }
    )


@LOGS.get(
    f"{SUB_RUN}/log/download",
    id="downloadSubDAGRunLog",
    media_type=_TEXT_FILE,
    text="Return the whole log of a sub-run as a file.",
)
@LOGS.get(f"{RUN}/log/download", id="downloadDAGRunLog", media_type=_TEXT_FILE)
def download_run_log(call: Call, name: str, dag_run_id: str, sub_dag_run_id: str = "") -> ApiResponse:
    """Return the whole log of a run as a file: one line for each transition of the run and its nodes."""
    run = find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    content = b"".join(line + b"\n" for line in _run_lines(call, run))
    return _file(f"{plain_name(run.dag_name)}.{run.dag_run_id}", [shown(content)])


@LOGS.get(
    f"{SUB_RUN}/steps/{{stepName}}/log/download",
    id="downloadSubDAGRunStepLog",
    media_type=_TEXT_FILE,
    text="Return all that a step or handler of a sub-run wrote to stdout or stderr, as a file. "
    "For a running step, this is what it has written so far.",
)
@LOGS.get(f"{RUN}/steps/{{stepName}}/log/download", id="downloadDAGRunStepLog", media_type=_TEXT_FILE)
def download_step_log(
    call: Call, query: DownloadQuery, *, name: str, dag_run_id: str, sub_dag_run_id: str = "", step_name: str
) -> ApiResponse:
    """Return all that a step or handler wrote to stdout, or all that it wrote to stderr, as a file.

    For a running step, this is what it has written so far.
    """
    run = find_run(call.deps, name, dag_run_id, sub_dag_run_id)
    node, stream, of = _place(call, query, run, step_name)
    found = call.deps.reads.log_pieces(run.run_key, node.idx, stream, of=of)
    # Read before the response begins, so that an unavailable database is a 503.
    first = next(found, b"")
    file_name = f"{run.dag_run_id}.{node.name}.{stream}"
    return _file(file_name, chain([first], found), call.deps.settings.log_charset)


def _file(name: str, content: Iterable[bytes], charset: str = "utf-8") -> ApiResponse:
    headers = {"Content-Disposition": f'attachment; filename="{_UNSAFE.sub("_", name)}.log"'}
    return ApiResponse(200, content, f"{_TEXT_FILE}; charset={charset}", headers)


def _run_lines(call: Call, run: RunRow) -> list[bytes]:
    return [_line(call, change).encode() for change in call.deps.reads.transitions(run.run_key)]


def _place(
    call: Call, query: StepLogQuery | LogSearchQuery | DownloadQuery, run: RunRow, step_name: str
) -> tuple[NodeRow, str, tuple[int, int] | None]:
    """Return the node, the stream, and the attempt if only one is asked for."""
    node = find_step(run, step_name)
    # If both streams are in one file (``logOutput: merged``), each returns the whole file.
    stream = "stdout" if node.stdout and not node.stderr else query.stream
    return node, stream, _attempt(call, run, node, query.attempt) if query.attempt else None


def _attempt(call: Call, run: RunRow, node: NodeRow, number: int) -> tuple[int, int]:
    """Return the attempt of the run and the number in it of a node's attempt ``number``."""
    found = tries(call.deps.reads.attempts(run.run_key, node.idx))
    if number > len(found):
        raise not_found(
            f"Step {node.name!r} of run {run.dag_run_id!r} has no attempt {number}; it has had {len(found)}"
        )
    return found[number - 1].run_attempt, found[number - 1].number


def _log(window: LogWindow, query: LogQuery, charset: str = "utf-8") -> dict[str, Any]:
    count = len(window.lines)
    more = count < window.total if query.tail or query.head else window.offset + count < window.total and count > 0
    return {
        "content": _text(window.lines, charset),
        "lineCount": count,
        "totalLines": window.total,
        "hasMore": more,
        "isEstimate": False,
    }


def _text(lines: Sequence[bytes], charset: str) -> str:
    # Lines may end with CR LF, for example on Windows or in HTTP headers.
    return b"\n".join(line.removesuffix(b"\r") for line in lines).decode(charset, "replace")


def _line(call: Call, change: TransitionRow) -> str:
    at = json_values.timestamp(change.at, call.deps.zone)
    what = "run" if change.node is None else f"step {change.node_name or change.node}"
    why = f": {change.why}" if change.why else ""
    by = f" (by {change.by})" if change.by else ""
    return f"{at} {what} {change.was} -> {change.became}{why}{by}".replace("\n", " ")
