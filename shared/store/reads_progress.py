"""Reading what steps say of themselves."""

from typing import Any

from sqlalchemy import select

from shared.store.reads_base import Reader
from shared.store.reads_rows import Run
from shared.store.tables_progress import progress

__all__ = ["ProgressReads"]


class ProgressReads(Reader):
    """What a step's last attempt said."""

    def said_in(self, run: Run) -> dict[int, dict[str, Any]]:
        """Return ``{progress, remarks}`` by node of a run that has its nodes, without words of earlier attempts."""
        numbers = {node.idx: node.number for node in run.nodes or ()}
        query = select(progress).where(progress.c.run_key == run.run_key, progress.c.run_attempt == run.run_attempt)
        with self._snapshot() as connection:
            rows = connection.execute(query).all()
        return {row.node: dict(row.said) for row in rows if numbers.get(row.node) == row.number}
