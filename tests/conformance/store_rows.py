"""Functions that insert rows for tests of the store, with defaults for most columns."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Table, insert

from shared.store import tables as t
from shared.store.engine import insert_ignore, transaction

__all__ = ["NOW", "add", "add_chunk", "add_dag", "add_node", "add_run", "after", "hash_of"]

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


def after(seconds: float) -> datetime:
    """Return the time ``seconds`` after ``NOW``."""
    return NOW + timedelta(seconds=seconds)


def add(engine: Engine, table: Table, *rows: Mapping[str, Any]) -> None:
    """Insert whole rows in one transaction."""
    with transaction(engine) as connection:
        connection.execute(insert(table), [dict(row) for row in rows])


def hash_of(spec: str) -> str:
    """Return the name under which a spec is stored."""
    return hashlib.sha256(spec.encode()).hexdigest()


def _spec(engine: Engine, text: str) -> str:
    row = {"hash": hash_of(text), "yaml": text, "created_at": NOW}
    with transaction(engine) as connection:
        connection.execute(insert_ignore(connection, t.specs), [row])
    return str(row["hash"])


def add_dag(engine: Engine, file_name: str, *, spec: str = "steps: []", **columns: Any) -> None:
    """Insert a DAG; its name defaults to its file name."""
    row = {
        "file_name": file_name,
        "dag_name": file_name,
        "spec_hash": _spec(engine, spec),
        "version": 1,
        "summary": {},
        "tags": [],
        "errors": [],
        "suspended": False,
        "created_at": NOW,
        "updated_at": NOW,
    }
    add(engine, t.dags, row | columns)


def add_run(engine: Engine, dag_name: str, run_id: str, *, spec: str = "steps: []", **columns: Any) -> str:
    """Insert a run and return its key, by default ``dag/run``."""
    row = {
        "run_key": f"{dag_name}/{run_id}",
        "dag_name": dag_name,
        "dag_run_id": run_id,
        "spec_hash": _spec(engine, spec),
        "status": "succeeded",
        "version": 1,
        "last_seq": 0,
        "run_attempt": 1,
        "queue": dag_name,
        "given": "",
        "params": [],
        "env": [],
        "created_at": NOW,
    } | columns
    add(engine, t.dag_runs, row)
    return str(row["run_key"])


def add_node(engine: Engine, run_key: str, idx: int, name: str, **columns: Any) -> None:
    """Insert a node of a run."""
    row = {
        "run_key": run_key,
        "idx": idx,
        "kind": "step",
        "name": name,
        "status": "not_started",
        "number": 0,
        "retry_count": 0,
        "done_count": 0,
        "error": "",
        "stdout": "",
        "stderr": "",
        "outputs": {},
    }
    add(engine, t.nodes, row | columns)


def add_chunk(engine: Engine, seq: int, data: bytes, **columns: Any) -> None:
    """Insert a log chunk of node 0 of run ``r``, first attempt, stdout."""
    row = {
        "token": "t1",
        "stream": "stdout",
        "seq": seq,
        "run_key": "r",
        "node": 0,
        "run_attempt": 1,
        "number": 1,
        "offset": 0,
        "lines": data.count(b"\n"),
        "data": data,
        "at": NOW,
    }
    add(engine, t.log_chunks, row | columns)
