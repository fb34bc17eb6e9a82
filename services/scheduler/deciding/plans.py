"""A cache of parsed specs by hash. The text of a hash never changes, so each process parses it once."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Generic, NamedTuple, TypeVar

from services.scheduler.core.plan import Plan
from shared.errors import InvariantBroken
from shared.language.load import LoadResult, load
from shared.language.model import Dag
from shared.language.snapshot import local_spec, make_snapshot
from shared.store.writes.transaction import Transaction
from shared.workspaces import plain_name

__all__ = ["Plans", "SnapshotSource", "StoredSnapshot", "spec_hash"]

K = TypeVar("K")
V = TypeVar("V")

_KEPT = 2000
_KEPT_LOADS = 64
"""More than the commands of one batch."""
_ROOM_CHARS = 16 * 1024 * 1024
"""How long the texts of the kept plans are together. Parsed, a text of many short steps takes 70 times the memory."""
_SNAPSHOT_KEPT = timedelta(hours=1)
"""How long a text counts as stored. A text without runs is deleted, but only after a time that is much longer."""


class SnapshotSource(NamedTuple):
    """What the spec of a new run is made from: a stored text, or the local DAG of that text that has this name.

    A sub-run is ``called``: handlers of the base configuration do not apply to it. ``selector``: the worker selector
    of the step that called it.
    """

    hash: str
    local: str = ""
    called: bool = False
    selector: tuple[tuple[str, str], ...] = ()


class StoredSnapshot(NamedTuple):
    """The hash of a stored spec, merged with the base configuration, and when it was stored."""

    hash: str
    at: datetime


def spec_hash(text: str) -> str:
    """Return the hash that identifies a spec text: its SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


class _Recent(Generic[K, V]):
    """The most recently used values, at most ``size``.

    The texts that they were made from have at most ``_ROOM_CHARS`` together; the last one whatever its length.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._chars = 0
        self._held: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        found = self._held.get(key)
        if found is None:
            return None
        self._held.move_to_end(key)
        return found[0]

    def put(self, key: K, value: V, text: str) -> None:
        _, former = self._held.pop(key, (None, 0))
        self._held[key] = value, len(text)
        self._chars += len(text) - former
        while len(self._held) > self._size or (self._chars > _ROOM_CHARS and len(self._held) > 1):
            _, (_, chars) = self._held.popitem(last=False)
            self._chars -= chars


class Plans:
    """A bounded cache of plans, shared by all threads of a scheduler.

    A plan's key includes the file name, because it is the DAG's name if the spec gives none.
    """

    def __init__(self, base: str = "", version: str = "", dags_dir: Path | None = None) -> None:
        self.base = base
        """The base configuration, which is merged into the specs of new runs."""
        self.version = version
        """The version of this scheduler. Another version may find other errors in the same text."""
        self.dags_dir = dags_dir
        """The DAG folder (``DAGWAY_DAGS_DIR``). Steps may call DAGs by the paths of files in the folder."""
        self._plans = _Recent[tuple[str, str], Plan](_KEPT)
        self._loads = _Recent[tuple[str, str, str], LoadResult](_KEPT_LOADS)
        self._snapshots: dict[SnapshotSource, StoredSnapshot] = {}
        self._locals: dict[tuple[str, str], bool] = {}
        """By hash and name: whether the spec has a local DAG of that name."""
        self._lock = Lock()

    def load(self, text: str, *, file_name: str = "", dag_name: str | None = None) -> LoadResult:
        """Parse a spec, or return the result of a recent call with the same arguments.

        Names in the result are those that the spec has, without a workspace, also that of a DAG named by its file.

        Parsing takes time and needs no database. A caller that knows the text before its transaction begins calls this
        then, so that the call in the transaction finds the result.
        """
        key = (spec_hash(text), file_name, dag_name or "")
        with self._lock:
            known = self._loads.get(key)
        if known is None:
            known = load(text, file_name=plain_name(file_name), dag_name=dag_name)
            with self._lock:
                self._loads.put(key, known, text)
        return known

    def get(self, tx: Transaction, key: tuple[str, str]) -> Plan:
        """Return the plan of a ``(spec hash, file name)``; see ``get_many``."""
        return self.get_many(tx, [key])[key]

    def get_many(self, tx: Transaction, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Plan]:
        """Return plans by ``(spec hash, file name)``. Texts that are not cached are read from the store.

        Raises:
            InvariantBroken: a stored text is not a valid spec.
        """
        keys = set(wanted)
        with self._lock:
            found = {key: plan for key in keys if (plan := self._plans.get(key)) is not None}
        missing = keys - found.keys()
        if missing:
            texts = tx.dags.spec_texts(sorted({text_hash for text_hash, _ in missing}))
            for text_hash, file_name in missing:
                found[text_hash, file_name] = self.add_stored(texts[text_hash], file_name)
        return found

    def store_snapshot(
        self, tx: Transaction, source: SnapshotSource, now: datetime, made: dict[SnapshotSource, StoredSnapshot]
    ) -> str:
        """Store the snapshot of a new run, i.e. its source merged with the base configuration; return its hash.

        Adds the hashes of specs that this transaction stored to ``made``, for ``keep_snapshots`` after the commit.
        """
        if not (self.base or source.local or source.selector):
            return source.hash
        known = made.get(source) or self._snapshots.get(source)
        if known is None or now - known.at > _SNAPSHOT_KEPT:
            text = tx.dags.spec_texts([source.hash])[source.hash]
            if source.local:
                text = local_spec(text, source.local) or ""  # there is one: see ``has_local``
            snapshot = make_snapshot(text, self.base, handlers=not source.called, selector=dict(source.selector))
            known = made[source] = StoredSnapshot(spec_hash(snapshot), now)
            tx.dags.add_specs({known.hash: snapshot}, now)
        return known.hash

    def has_local(self, tx: Transaction, text_hash: str, name: str) -> bool:
        """Return whether a stored spec has a local DAG of that name. A ``SnapshotSource`` names only such a one."""
        found = self._locals.get((text_hash, name))
        if found is None:
            found = local_spec(tx.dags.spec_texts([text_hash])[text_hash], name) is not None
            if len(self._locals) >= _KEPT:
                self._locals = {}
            self._locals[text_hash, name] = found
        return found

    def keep_snapshots(self, made: Mapping[SnapshotSource, StoredSnapshot]) -> None:
        """Cache the hashes that ``store_snapshot`` added to ``made``. Call it after the commit of the transaction."""
        if len(self._snapshots) + len(made) > _KEPT:
            self._snapshots = {}
        self._snapshots.update(made)  # not ``|=``, which could put back what another thread has forgotten

    def forget_snapshots(self) -> None:
        """Forget which specs are stored: the database may have lost its last commits."""
        self._snapshots = {}

    def add_stored(self, text: str, file_name: str) -> Plan:
        """Parse a stored spec, cache its plan and return it.

        Raises:
            InvariantBroken: the text is not a valid spec.
        """
        loaded = self.load(text, file_name=file_name)
        if loaded.dag is None:
            owner = f"DAG {file_name}" if file_name else "a run without a stored DAG"
            why = "; ".join(str(issue) for issue in loaded.errors)
            raise InvariantBroken(f"the stored spec of {owner} (specs.hash {spec_hash(text)}) is invalid: {why}")
        return self.add(text, file_name, loaded.dag, tuple(str(issue) for issue in loaded.errors))

    def add(self, text: str, file_name: str, dag: Dag, errors: tuple[str, ...] = ()) -> Plan:
        """Cache the plan of a parsed text and return it."""
        plan = Plan(dag, file_name, errors)
        with self._lock:
            self._plans.put((spec_hash(text), file_name), plan, text)
        return plan
