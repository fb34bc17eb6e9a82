"""One run on the engine in this process: start it, follow it, stop it."""

import threading
import time
from collections.abc import Iterator
from typing import Any

from services.cli.log_tail import LogLine, LogTail
from services.processes.here import LocalEngine
from shared.contracts.actors import Actor
from shared.contracts.commands import StopRun
from shared.contracts.commands.runs import StartInline
from shared.contracts.control import CHANGES
from shared.ids import new_run_id
from shared.status import NodeStatus, RunStatus
from shared.store.reads.rows import NodeRow, RunRow

__all__ = ["LocalRun", "as_json"]

_POLL_S = 0.2
_PAGE = 5_000
_MOST_SETTLE_S = 30.0
_BY = "command line"
_ACTOR = Actor(kind="anonymous", id=_BY, name=_BY, role="admin")
_SHOWN_KINDS = frozenset({"step", "handler"})


class LocalRun:
    """A run of ``spec``. Create it once the engine runs: it starts at once."""

    def __init__(self, engine: LocalEngine, spec: str, *, name: str, params: str, run_id: str = "") -> None:
        self._engine = engine
        self._woken = threading.Event()
        engine.transport.listen([CHANGES], lambda _topic, _body: self._woken.set())
        self.name, self.run_id = name, run_id or new_run_id()
        engine.carry_out(
            StartInline(by=_BY, actor=_ACTOR, spec=spec, dag_name=name, dag_run_id=self.run_id, params=params)
        )
        self._tails: dict[tuple[int, str], LogTail] = {}
        self.row = self._read()

    def _read(self) -> RunRow:
        row = self._engine.reads.run(self.name, self.run_id)
        if row is None:
            raise RuntimeError(f"run {self.run_id} has been recorded and cannot be read")
        return row

    def states(self) -> Iterator[RunRow]:
        """Yield the run now, after each change and some times a second, until it has ended or waits for approval.

        Steps may write between two changes, see ``output``.
        """
        while True:
            self._woken.clear()
            self.row = self._read()
            yield self.row
            if not self.row.status.active or self.row.status is RunStatus.WAITING:
                return
            self._woken.wait(_POLL_S)

    def stop(self) -> None:
        """Ask the run to stop. It goes on until its steps and handlers have ended."""
        self._engine.carry_out(StopRun(by=_BY, actor=_ACTOR, dag_name=self.name, dag_run_id=self.run_id))

    def output(self) -> Iterator[LogLine]:
        """Yield what the steps have written since the last call."""
        # The rest of a step's output may arrive after its end.
        complete = not self._engine.reads.missing_bytes(self.row.run_key)
        for node in self.row.nodes or ():
            if node.kind in _SHOWN_KINDS and node.status is not NodeStatus.NOT_STARTED:
                for stream in ("stdout", "stderr") if node.stderr or not node.stdout else ("stdout",):
                    tail = self._tails.get((node.idx, stream)) or LogTail(self._page(node, stream), node.name, stream)
                    self._tails[node.idx, stream] = tail
                    yield from tail.read(ended=complete and node.status.terminal)

    def last_output(self) -> Iterator[LogLine]:
        """Yield the rest of the output of a run that has ended.

        Output above 16 KiB travels apart from the end of its step, and may arrive after it.
        """
        ends = time.monotonic() + _MOST_SETTLE_S
        while self._engine.reads.missing_bytes(self.row.run_key) and time.monotonic() < ends:
            self._woken.wait(_POLL_S)
            self._woken.clear()
        yield from self.output()

    def _page(self, node: NodeRow, stream: str) -> Any:
        def page(first: int) -> dict[str, Any]:
            window = self._engine.reads.log_lines(self.row.run_key, node.idx, stream, offset=first - 1, limit=_PAGE)
            return {
                "content": b"\n".join(window.lines).decode("utf-8", "replace"),
                "lineCount": len(window.lines),
                "hasMore": window.offset + len(window.lines) < window.total and bool(window.lines),
            }

        return page


def as_json(row: RunRow) -> dict[str, Any]:
    """Return a run in the form in which the API shows it, with times to the microsecond."""
    nodes = [node for node in row.nodes or () if node.kind in _SHOWN_KINDS or node.status is NodeStatus.FAILED]
    return {
        "name": row.dag_name,
        "dagRunId": row.dag_run_id,
        "statusLabel": row.status,
        "startedAt": row.started_at.isoformat() if row.started_at else "",
        "finishedAt": row.finished_at.isoformat() if row.finished_at else "",
        "params": " ".join(f"{name}={value}" for name, value in row.shown_params),
        "error": row.error,
        "nodes": [
            _node_json(node) for node in nodes if node.kind != "handler" or node.status is not NodeStatus.NOT_STARTED
        ],
    }


def _node_json(node: NodeRow) -> dict[str, Any]:
    said = node.said or {}
    return {
        "step": {"name": node.name},
        "statusLabel": node.status,
        "startedAt": node.started_at.isoformat() if node.started_at else "",
        "finishedAt": node.finished_at.isoformat() if node.finished_at else "",
        "retryCount": node.retry_count,
        "exitCode": node.exit_code,
        "error": node.error,
        "outputs": dict(node.outputs),
        "progress": said.get("progress"),
    }
