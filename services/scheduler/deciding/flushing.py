"""The last part of a batch: writes all decisions with as few statements as possible."""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import zip_longest
from typing import Any

from services.scheduler.core.model import Run
from services.scheduler.deciding import rows
from services.scheduler.deciding.limits.pool_changes import PoolChanges
from services.scheduler.deciding.loading import LoadedRun
from shared.status import NodeStatus, RunStatus
from shared.store import tables as t
from shared.store.writes.audit import audit_rows
from shared.store.writes.bulk import Alike, Changes, Removed, Rows
from shared.store.writes.transaction import Transaction

__all__ = ["PendingRows"]

_NODE_KEY = {"run_key": "run_key", "idx": "idx"}


class PendingRows:
    """Rows to write at the end of a batch, in addition to the runs and their nodes.

    For ``states_apart`` see ``rows.node_changes``.
    """

    def __init__(self, *, states_apart: bool) -> None:
        self._states_apart = states_apart
        self.transitions: list[dict[str, Any]] = []
        self.attempts: list[dict[str, Any]] = []
        self.executions: list[dict[str, Any]] = []
        self.log_chunks: list[dict[str, Any]] = []
        """Those that are stored already are left out."""
        self.holds: list[dict[str, Any]] = []
        """What keeps queued runs from being admitted."""
        self.outbox: list[dict[str, Any]] = []
        self.inbox: list[dict[str, Any]] = []
        """The outcomes of commands."""
        self.audit: list[dict[str, Any]] = []
        self.timers: dict[tuple[str, int, str], datetime] = {}
        """The time at which each timer is due, by ``(run key, node, kind)``."""
        self.pools = PoolChanges()

    def flush(self, tx: Transaction, runs: Iterable[LoadedRun], *, unlocked: Collection[str] = ()) -> bool:
        """Write the runs of a batch and all rows collected here. ``unlocked``: keys of runs that are not locked yet.

        Return whether the rows of a removed run are left to delete.

        Raises:
            StaleVersion: another transaction has changed a run since it was loaded; the caller must roll back.
            AlreadyExists: the name of a new run is taken, or the outcome of a command is recorded already.
        """
        all_runs = list(runs)
        new = [each for each in all_runs if each.stored is None and not each.deleted]
        changed = [(each, each.stored) for each in all_runs if each.stored is not None and each.changed]
        deleted = {each.run.run_key for each in all_runs if each.deleted}
        ended = {each.run.run_key for each in all_runs if each.stored is not None and not each.run.status.active}
        saved = [*new, *(each for each, _ in changed)]
        queues = sorted({each.run.queue for each in saved if each.run.status is RunStatus.QUEUED})
        tx.runs.save(
            rows.run_changes([(old, each.run) for each, old in changed]),
            {old.run_key: old.version for _, old in changed},
            Rows(t.queues, [{"name": name, "kind": "dag-based", "max_concurrency": None} for name in queues], "leave"),
            Rows(t.dag_runs, [rows.new_run_row(each.run, each.fixed) for each in new]),
            *_new_nodes(new),
            Changes(t.nodes, self._changed_nodes(changed), _NODE_KEY),
            tx.runs.numbered(self.transitions),
            Rows(t.attempts, self.attempts, "leave"),
            Rows(t.executions, self.executions, "leave"),
            Rows(t.log_chunks, self.log_chunks, "leave"),
            Rows(t.run_holds, self.holds),
            Rows(t.outbox, self.outbox),
            Rows(t.inbox, self.inbox),
            Removed(t.timers.c.run_key, sorted(ended & {old.run_key for _, old in changed} - deleted)),
            *audit_rows(self.audit),
            unlocked=unlocked,
        )
        self.pools.write(tx, deleted)
        tx.timers.put(
            [
                {"run_key": key, "node": node, "kind": kind, "due_at": due_at}
                for (key, node, kind), due_at in self.timers.items()
                if key not in ended
            ]
        )
        return tx.history.remove(sorted(deleted))

    def _changed_nodes(self, changed: Iterable[tuple[LoadedRun, Run]]) -> list[dict[str, Any]]:
        """Return the rows of the nodes that changed. With each run comes its state in the database."""
        found = (
            (old.run_key, old.nodes[idx], each.run.nodes[idx])
            for each, old in changed
            for idx in sorted(each.changed_nodes)
        )
        return rows.node_changes(found, states_apart=self._states_apart)


def _new_nodes(new: Iterable[LoadedRun]) -> tuple[Alike, Rows]:
    """Return the nodes of new runs to insert: steps that have not begun differ only in their names."""
    fresh: dict[str, list[str | None]] = {}
    others = []
    for each in new:
        key, changed, nodes = each.run.run_key, each.changed_nodes, each.run.nodes
        names = [
            node.name if node.idx not in changed and node.status is NodeStatus.NOT_STARTED else None
            for node in each.run.steps
        ]
        if any(name is not None for name in names):
            fresh[key] = names
        others += [rows.node_row(key, node) for node, name in zip_longest(nodes, names) if name is None]
    return Alike(t.nodes, ("run_key", "idx", "name"), fresh, rows.FRESH_STEP), Rows(t.nodes, others)
