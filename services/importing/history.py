"""Imports the history of runs, with their sub-runs, logs and outputs.

A root run and its sub-runs are stored in one transaction, so an import that was cut off goes on where it ended. The
files of a run that is here already are not read again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.importing.dagu_home import DaguHome
from services.importing.families import Family, read_family
from services.importing.past_runs import NoSuchSteps
from services.importing.recorded import NotReadable, read_run, run_id_of
from services.importing.report import Report
from services.importing.target import Target
from shared.errors import InvalidInput
from shared.store import tables as t
from shared.store.writes.bulk import Rows
from shared.store.writes.transaction import Transaction

__all__ = ["import_history"]

_KIND = "run"
_AT_ONCE = 100
"""Root runs in one transaction, at most."""
_LOG_BYTES = 64 * 1024 * 1024
"""The transaction ends earlier when it has logs of this size, since they are in memory."""


def import_history(target: Target, report: Report, home: DaguHome, base: str) -> None:
    """Import all runs of a home that are not here yet. ``base``: the text of the base configuration."""
    history = _History(target, report, home, base)
    for _, runs in home.workflows():
        dag_name = ""
        for start in range(0, len(runs), _AT_ONCE):
            paths = runs[start : start + _AT_ONCE]
            dag_name = dag_name or next(filter(None, map(_dag_name, paths)), "")
            history.add(dag_name, paths)


@dataclass(frozen=True, slots=True)
class _History:
    target: Target
    report: Report
    home: DaguHome
    base: str

    def add(self, dag_name: str, paths: Sequence[Path]) -> None:
        """Import some runs of one workflow."""
        ids = [run_id_of(path) for path in paths]
        with self.target.store.begin() as tx:
            here = tx.runs.keys([(dag_name, run_id) for run_id in ids])
        families: dict[tuple[str, str], Family] = {}
        log_bytes = 0
        for path, run_id in zip(paths, ids, strict=True):
            name = f"{dag_name or path.parts[-6]}/{run_id}"
            if (dag_name, run_id) in here:
                self.report.add(_KIND, name, "unchanged")
                continue
            try:
                family = read_family(self.home, self.base, path)
            except (NotReadable, NoSuchSteps, InvalidInput, OSError) as error:
                self.report.add(_KIND, name, "refused", str(error))
                continue
            root = family.runs[0]
            families[root["dag_name"], root["dag_run_id"]] = family
            log_bytes += family.log_bytes
            if log_bytes >= _LOG_BYTES:
                self._store(families)
                families, log_bytes = {}, 0
        self._store(families)

    def _store(self, families: Mapping[tuple[str, str], Family]) -> None:
        """Store runs in one transaction, by the name and id that each recorded: its folder may have another name."""
        with self.target.begin() as tx:
            here = tx.runs.keys([*families])
            _write(self.target, tx, [family for key, family in families.items() if key not in here])
        for key, family in families.items():
            why = "" if key in here else "; ".join(family.remarks)
            self.report.add(_KIND, "/".join(key), "unchanged" if key in here else "differs" if why else "loaded", why)


def _write(target: Target, tx: Transaction, families: Sequence[Family]) -> None:
    def every(rows: str) -> list[Mapping[str, Any]]:
        return [row for family in families for row in getattr(family, rows)]

    specs = {text_hash: text for family in families for text_hash, text in family.specs.items()}
    queues = sorted({queue for family in families for queue in family.queues})
    tx.dags.add_specs(specs, target.store.clock())
    tx.write(
        Rows(t.queues, [{"name": name, "kind": "dag-based", "max_concurrency": None} for name in queues], "leave"),
        Rows(t.dag_runs, every("runs")),
        Rows(t.nodes, every("nodes")),
        tx.runs.numbered(every("transitions")),
        Rows(t.attempts, every("attempts")),
        Rows(t.log_chunks, every("chunks")),
    )


def _dag_name(run: Path) -> str:
    try:
        return read_run(run).file.name
    except (NotReadable, OSError):
        return ""
