"""Reads what the files of Dagu say about a run: its last attempt."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from services.importing.accounts import why_unreadable
from services.importing.dagu_files import AttemptFile, DagFile, read_file
from services.importing.dagu_home import attempts_of
from shared.status import RunStatus

__all__ = ["NotReadable", "RecordedRun", "read_run", "run_id_of"]

_NO_END = frozenset({RunStatus.NOT_STARTED, RunStatus.QUEUED, RunStatus.WAITING})
_NO_STATUS = "no attempt has a status that can be read"


class NotReadable(ValueError):
    """The files of a run cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """What the files of a run say. ``retried``: how often it had ended before its last attempt."""

    file: AttemptFile
    dag: DagFile
    retried: int = 0


def read_run(run: Path) -> RecordedRun:
    """Read the last attempt with a status of the run in a folder.

    Raises:
        NotReadable: there is none, or a file does not have the form that Dagu 1.30 writes.
        OSError: a file cannot be read.
    """
    attempts = [each for each in attempts_of(run) if _last_line(each)]
    if not attempts:
        raise NotReadable(_NO_STATUS)
    try:
        files = [read_file(AttemptFile, _last_line(each).encode()) for each in attempts]
        dag = read_file(DagFile, (attempts[-1] / "dag.json").read_bytes())
        _ = dag.text
    except ValidationError as error:
        raise NotReadable(why_unreadable(error)) from error
    except FileNotFoundError:
        raise NotReadable("its dag.json is missing") from None
    except ValueError as error:
        raise NotReadable(f"dag.json: yamlData: {error}") from error
    return RecordedRun(files[-1], dag, sum(file.status not in _NO_END for file in files[:-1]))


def run_id_of(run: Path) -> str:
    """Return the run id in a folder's name, ``dag-run_DATE_TIME_ID``."""
    return run.name.split("_", 3)[-1]


def _last_line(attempt: Path) -> str:
    """Return the last complete status: Dagu may have been killed while it wrote one. Empty if there is none."""
    try:
        lines = (attempt / "status.jsonl").read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return ""
    return next((line for line in reversed(lines) if line.startswith("{") and line.rstrip().endswith("}")), "")
