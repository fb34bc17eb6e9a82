"""The first part of a batch: finds runs by name, locks them and reads them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.scheduler.core.model import Run
from services.scheduler.core.plan import Plan
from services.scheduler.deciding import rows
from services.scheduler.deciding.plans import Plans
from services.scheduler.deciding.recent import RecentRuns
from services.scheduler.deciding.rows import plan_key
from services.scheduler.deciding.traces import asked_in
from shared.errors import StaleVersion
from shared.store.writes.commands import StoredDag
from shared.store.writes.transaction import Transaction
from shared.tracing import SpanContext

__all__ = ["LoadedRun", "LoadedRuns"]

Row = Mapping[str, Any]
_FIXED = ("spec_hash", "file_name", "root_key", "parent_key", "trace")


@dataclass(slots=True)
class LoadedRun:
    """A run in a batch: its current state, and its state in the database."""

    run: Run
    stored: Run | None
    """The run before this batch: read from its locked row or cached. ``None`` if this batch created it."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Columns that never change, for instance the spec hash and the parent's key."""
    deleted: bool = False
    changed_nodes: set[int] = field(default_factory=set)
    """The indices of the nodes that this batch changed."""

    @property
    def changed(self) -> bool:
        """Whether the run was read from the database and has changed since."""
        return self.stored is not None and self.run is not self.stored


class LoadedRuns:
    """The runs of one batch. Each is locked and read once, or taken from the cache without a lock.

    ``wait``: whether to wait for runs that another transaction has locked; if not, ``load`` raises ``RowsLocked``.
    ``cached``: whether runs may be taken from the cache. ``on_load`` is called with the keys of runs that were loaded.
    """

    def __init__(
        self,
        tx: Transaction,
        plans: Plans,
        recent: RecentRuns,
        *,
        wait: bool,
        cached: bool,
        on_load: Callable[[Sequence[str]], None],
    ) -> None:
        self._wait = wait
        self._may_be_cached = cached and wait
        self._on_load = on_load
        self._tx = tx
        self._plans = plans
        self._recent = recent
        self.era = recent.era
        """The era of the cache in which this transaction began."""
        self._runs: dict[str, LoadedRun] = {}
        self._unlocked: set[str] = set()
        """Keys of the runs that were taken from the cache and are not locked."""
        self._keys: dict[tuple[str, str], str | None] = {}
        self._dags: dict[str, StoredDag | None] = {}

    def load(self, keys: Iterable[str]) -> None:
        """Lock and read the runs with these keys; ``get`` returns ``None`` for keys that do not exist."""
        wanted = sorted(set(keys) - self._runs.keys())
        if not wanted:
            return
        # Runs are locked from parent to child, and otherwise in the order of their keys.
        self.lock_cached()
        run_rows = self._tx.runs.lock(wanted, wait=self._wait)
        plans = self._plans.get_many(self._tx, [plan_key(row) for row in run_rows])
        # Most decisions are about a run that this process has changed recently.
        runs = {
            row["run_key"]: self._recent.get(row["run_key"], row["version"], plans[plan_key(row)]) for row in run_rows
        }
        read = self._read([row for row in run_rows if runs[row["run_key"]] is None], plans)
        for row in run_rows:
            key = row["run_key"]
            run = runs[key] or read[key]
            self._runs[key] = LoadedRun(run, run, {name: row[name] for name in _FIXED})
            if row["root_key"] is None:
                self._keys[run.dag_name, run.dag_run_id] = key
        self._on_load(wanted)

    def load_recent(self, keys: Iterable[str]) -> None:
        """Like ``load``, but take the runs from the cache, if that has all of them, without a lock or a query.

        The decisions count only if the runs have not changed meanwhile: ``confirm`` and the save find out.
        """
        wanted = sorted(set(keys) - self._runs.keys())
        recent = {key: self._recent.newest(key) for key in wanted} if self._may_be_cached else {}
        found = {key: each for key, each in recent.items() if each is not None}
        if len(found) < len(wanted):
            self.load(wanted)
            return
        for key, each in found.items():
            self._runs[key] = LoadedRun(each.run, each.run, each.fixed)
        self._unlocked.update(wanted)
        if wanted:
            self._on_load(wanted)

    @property
    def unlocked(self) -> frozenset[str]:
        """The keys of runs that were taken from the cache and are not locked."""
        return frozenset(self._unlocked)

    def taken_from_cache(self) -> list[Run]:
        """Return the runs that were taken from the cache and are not locked, as the cache had them."""
        return [run for key in self._unlocked if (run := self._runs[key].stored) is not None]

    def confirm(self) -> None:
        """Check the cached runs if the batch decided not to change one of them; else the save checks them.

        A decision that changes nothing may still tell a worker to stop.

        Raises ``StaleVersion`` if another transaction has changed one of them.
        """
        if any(not self._runs[key].changed for key in self._unlocked):
            self.lock_cached()

    def lock_cached(self) -> None:
        """Lock the rows of cached runs. Raises ``StaleVersion`` if one of them has another version.

        Call it before writing any other row of a run. Every transaction locks the run first: one that did it the other
        way round could deadlock. For the rows that the flush writes, the save locks the run.
        """
        if not self._unlocked:
            return
        versions = self._tx.runs.lock_versions(sorted(self._unlocked))
        for key in self._unlocked:
            stored = self._runs[key].stored
            if stored is not None and versions.get(key) != stored.version:
                raise StaleVersion(f"another transaction changed the run {key} since it was cached")
        self._unlocked = set()

    def _read(self, run_rows: Sequence[Row], plans: Mapping[tuple[str, str], Plan]) -> dict[str, Run]:
        """Read the nodes of runs whose rows are locked, and return the runs by key."""
        if not run_rows:
            return {}
        nodes: dict[str, list[Row]] = {}
        for node in self._tx.runs.nodes([row["run_key"] for row in run_rows]):
            nodes.setdefault(node["run_key"], []).append(node)
        roots = self._tx.runs.names([row["root_key"] for row in run_rows if row["root_key"] is not None])
        return {
            key: rows.run_from_rows(row, nodes.get(key, []), plans[plan_key(row)], roots.get(row["root_key"]))
            for key, row in ((row["run_key"], row) for row in run_rows)
        }

    def add(self, run: Run, fixed: dict[str, Any]) -> None:
        """Add a new run that is not in the database yet."""
        self._runs[run.run_key] = LoadedRun(run, None, fixed)
        if fixed["root_key"] is None:
            self._keys[run.dag_name, run.dag_run_id] = run.run_key

    def find_names(self, names: Iterable[tuple[str, str]]) -> None:
        """Look up the keys of these ``(dag_name, dag_run_id)``, so that later calls of ``key_of`` need no query."""
        unknown = [name for name in set(names) if name not in self._keys]
        found = self._tx.runs.keys(unknown)
        self._keys.update({name: found.get(name) for name in unknown})

    def key_of(self, dag_name: str, dag_run_id: str) -> str | None:
        """Return the key of a root run, or ``None`` if it does not exist."""
        if (dag_name, dag_run_id) not in self._keys:
            self.find_names([(dag_name, dag_run_id)])
        return self._keys[dag_name, dag_run_id]

    def prefetch(
        self, command_ids: Sequence[str], names: Iterable[tuple[str, str]], file_names: Iterable[str]
    ) -> Mapping[str, tuple[str, dict[str, Any]]]:
        """Return the recorded replies of commands, by command id.

        Also fetches run keys and DAGs in the same statement, so that later calls of ``key_of`` and ``dag`` need no
        query. No command of the batch may change a DAG in ``file_names``.
        """
        wanted, files = sorted(set(names)), sorted(set(file_names))
        context = self._tx.commands.context(command_ids, wanted, files)
        self._keys.update({name: context.keys.get(name) for name in wanted})
        self._dags.update({file: context.dags.get(file) for file in files})
        return context.replies

    def assume_new(self, names: Iterable[tuple[str, str]], file_names: Iterable[str]) -> None:
        """Assume, without a query, that no run has these names; fetch the DAGs for later calls of ``dag``.

        If a name is taken, the flush raises ``AlreadyExists``. So the next try of the batch (``Batch.again``) must
        call ``prefetch`` instead.
        """
        self._keys.update(dict.fromkeys(names))
        files = sorted(set(file_names))
        found = self._tx.commands.stored_dags(files)
        self._dags.update({file: found.get(file) for file in files})

    def dag(self, file_name: str) -> StoredDag | None:
        """Return a stored DAG, or ``None`` if it does not exist."""
        if file_name in self._dags:
            return self._dags[file_name]
        return self._tx.commands.stored_dags([file_name]).get(file_name)

    def count_active(self, dag_name: str) -> Counter[str]:
        """Return the numbers of ``running`` and of ``queued`` runs of a DAG, also by what this batch has decided."""
        found = Counter(self._tx.runs.count_active(dag_name))
        for each in self._runs.values():
            if each.run.dag_name != dag_name:
                continue
            if each.stored is not None:
                found[each.stored.status] -= 1
            if not each.deleted:
                found[each.run.status] += 1
        return found

    def get(self, key: str) -> Run | None:
        """Return a run of this batch, or ``None`` if it does not exist or this batch deletes it."""
        loaded = self._runs.get(key)
        return None if loaded is None or loaded.deleted else loaded.run

    def entry(self, key: str) -> LoadedRun:
        """Return a run of this batch with its stored state."""
        return self._runs[key]

    def origin(self, key: str) -> tuple[str, str | None]:
        """Return the origin of a run of this batch: the ``(spec_hash, file_name)`` that it was created from."""
        fixed = self._runs[key].fixed
        return fixed["spec_hash"], fixed["file_name"]

    def root_of(self, key: str) -> str:
        """Return the key of the root run of a run of this batch; a root run's is its own key."""
        return self._runs[key].fixed["root_key"] or key

    def asked_in(self, key: str) -> SpanContext:
        """Return the trace context of the request that started a run of this batch."""
        return asked_in(self._runs[key].fixed["trace"], key)

    def entries(self) -> Iterable[LoadedRun]:
        """Return all runs of this batch, including runs that it deletes."""
        return self._runs.values()
