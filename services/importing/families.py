"""A root run with its sub-runs, as rows of the database."""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from services.importing.dagu_files import NodeFile
from services.importing.dagu_home import DaguHome, sub_runs_of
from services.importing.past_runs import PastRun, children_of, past_run
from services.importing.recorded import NotReadable, RecordedRun, read_run
from services.scheduler.deciding import rows
from services.scheduler.deciding.dag_folder.dag_files import read_data, text_of
from services.scheduler.deciding.plans import spec_hash
from shared.contracts.events import LogChunk, Stream
from shared.ids import RUN_ID_RULE, new_run_id, new_token, valid_run_id
from shared.language.load import LoadResult, load
from shared.language.snapshot import make_snapshot
from shared.status import RunStatus

__all__ = ["Family", "read_family"]

_CHUNK_BYTES = 256 * 1024
_MOST_LOG_BYTES = 16 * 1024 * 1024
_CUT = f"of a log only the first {_MOST_LOG_BYTES // 1024 // 1024} MiB are kept"

Row = dict[str, Any]


@dataclass(slots=True)
class Family:
    """Rows to be written. ``remarks``: what is not as it was, each once."""

    runs: list[Row] = field(default_factory=list)
    nodes: list[Row] = field(default_factory=list)
    transitions: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    chunks: list[Row] = field(default_factory=list)
    specs: dict[str, str] = field(default_factory=dict)
    queues: set[str] = field(default_factory=set)
    remarks: dict[str, None] = field(default_factory=dict)

    @property
    def log_bytes(self) -> int:
        return sum(len(chunk["data"]) for chunk in self.chunks)


def read_family(home: DaguHome, base: str, path: Path) -> Family:
    """Read a root run with its sub-runs. ``base``: the text of the base configuration.

    Raises:
        NotReadable, NoSuchSteps, InvalidInput: the root run cannot be imported. A sub-run that cannot is left out.
        OSError: a file cannot be read.
    """
    root = read_run(path)
    if not valid_run_id(root.file.dag_run_id):
        raise NotReadable(f"its id must be {RUN_ID_RULE}")
    if root.file.status is RunStatus.NOT_STARTED:
        raise NotReadable("it was never started")
    reading = _Reading(home, base, root)
    subs: dict[str, RecordedRun] = {}
    for folder in sub_runs_of(path):
        try:
            sub = _ended(read_run(folder))
        except NotReadable as error:
            reading.family.remarks[f"sub-run {folder.name.removeprefix('child_')} is left out: {error}"] = None
        else:
            subs[sub.file.dag_run_id] = sub
    reading.add_all(root, subs)
    return reading.family


def _ended(sub: RecordedRun) -> RecordedRun:
    """Return a sub-run that was never begun as one that was stopped: only root runs are queued."""
    if not sub.file.status.to_begin:
        return sub
    return RecordedRun(sub.file.model_copy(update={"status": RunStatus.ABORTED}), sub.dag, sub.retried)


class _Reading:
    """Collects the rows of one family."""

    def __init__(self, home: DaguHome, base: str, root: RecordedRun) -> None:
        self.family = Family()
        self._home, self._base = home, base
        self._root_key = new_run_id()
        self._keys = {root.file.dag_run_id: self._root_key}
        self._states: dict[str, RunStatus] = {}

    def add_all(self, root: RecordedRun, subs: Mapping[str, RecordedRun]) -> None:
        """Add the root run, then each sub-run after the run that called it."""
        for run_id, sub in subs.items():
            running = sub.file.status is RunStatus.RUNNING
            self._states[run_id] = RunStatus.FAILED if running else sub.file.status
        todo = deque([(root, self._add(root, {}))])
        while todo:
            caller, places = todo.popleft()
            for step, run_id in children_of(caller.file):
                if run_id not in subs or run_id in self._keys or step not in places:
                    continue
                sub = subs[run_id]
                self._keys[run_id] = new_run_id()
                called = {
                    "root_key": self._root_key,
                    "parent_key": self._key(caller),
                    "parent_node": places[step],
                    "parent_params": sub.file.params,
                }
                todo.append((sub, self._add(sub, called, local=sub.dag.location == caller.dag.location)))

    def _key(self, recorded: RecordedRun) -> str:
        return self._keys[recorded.file.dag_run_id]

    def _add(self, recorded: RecordedRun, called: Row, *, local: bool = False) -> dict[str, int]:
        """Add the rows of a run; return the numbers of its nodes by name.

        ``local``: its workflow is a later document of its caller's file.
        """
        file, key, family = recorded.file, self._key(recorded), self.family
        location = Path(recorded.dag.location)
        stem = location.stem if location.parent == self._home.dags and not local else ""
        if not recorded.dag.location and not called:
            # Dagu records none for a run that it has queued.
            stem = _file_with(recorded.dag.text, recorded.dag.name, self._home.dags)
        spec = make_snapshot(recorded.dag.text, self._base, handlers=not called)
        loaded = _loaded(spec, stem)
        past = past_run(
            file, recorded.dag, loaded.dag if loaded.ok else None,
            run_key=key, file_name=stem, tokens=iter(new_token, ""), states=self._states,
        )  # fmt: skip
        if not loaded.ok:
            family.remarks[f"its workflow has errors here, so it cannot be retried: {loaded.errors[0]}"] = None
        if recorded.retried:
            family.remarks["of its attempts only the last one is kept"] = None
        if file.status is RunStatus.RUNNING:
            family.remarks["it was running, and counts as failed"] = None
        if past.run.status is RunStatus.QUEUED:
            family.queues.add(past.run.queue)
        family.specs[spec_hash(spec)] = spec
        fixed = {
            "spec_hash": spec_hash(spec), "file_name": stem or None, "root_key": None, "parent_key": None,
            "parent_node": None, "parent_params": None, "trace": "", "started_by": "",
        }  # fmt: skip
        family.runs.append(rows.new_run_row(past.run, fixed | called))
        family.nodes += [rows.node_row(key, node) for node in past.run.nodes]
        family.transitions += [rows.transition_row(key, transition, at) for transition, at in past.transitions]
        self._add_attempts(key, past)
        return {node.name: node.idx for node in past.run.nodes}

    def _add_attempts(self, key: str, past: PastRun) -> None:
        for attempt in past.attempts:
            sizes, ended = {}, past.run.nodes[attempt.node].finished_at or attempt.dispatched_at
            for stream, path in _logs_of(self._home, past.logs[attempt.token]):
                data = self._log(path)
                sizes[f"{stream}_bytes"] = len(data)
                for seq, offset in enumerate(range(0, len(data), _CHUNK_BYTES)):
                    part = data[offset : offset + _CHUNK_BYTES]
                    chunk = LogChunk(
                        token=attempt.token, run_key=key, node=attempt.node, stream=stream, seq=seq, offset=offset,
                        data=part, at=ended,
                    )  # fmt: skip
                    self.family.chunks.append(rows.chunk_row(chunk))
            # No worker of ours held the attempt, so nothing is known of its execution.
            unknown = {"begun": None, "stdout_bytes": 0, "stderr_bytes": 0}
            self.family.attempts.append(rows.attempt_row(key, attempt, ended) | unknown | sizes)

    def _log(self, path: Path) -> bytes:
        with path.open("rb") as file:
            data = file.read(_MOST_LOG_BYTES + 1)
        if len(data) > _MOST_LOG_BYTES:
            self.family.remarks[_CUT] = None
        return data[:_MOST_LOG_BYTES]


@lru_cache(maxsize=512)
def _loaded(spec: str, stem: str) -> LoadResult:
    return load(spec, file_name=stem)


@lru_cache(maxsize=512)
def _file_with(text: str, name: str, dags: Path) -> str:
    """Return the name of a workflow file with this text, if possible the one named ``name``; empty if there is none."""
    for path in sorted(dags.glob("*.y*ml"), key=lambda one: (one.stem != name, one)):
        with suppress(OSError):
            if text_of(read_data(path)) == text:
                return path.stem
    return ""


def _logs_of(home: DaguHome, node: NodeFile) -> Iterator[tuple[Stream, Path]]:
    """Yield the log files of a step by stream. A merged log is that of stdout."""
    if (path := home.log(node.stdout)) is not None:
        yield "stdout", path
    if node.stderr != node.stdout and (path := home.log(node.stderr)) is not None:
        yield "stderr", path
