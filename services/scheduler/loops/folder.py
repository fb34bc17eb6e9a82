"""Follows the DAG folder (``DAGWAY_DAGS_DIR``): loads new and changed files into the store.

This loop only reads the folder; commands write it if ``DAGWAY_DAGS_WRITE`` is ``folder``. A file that has not changed
since it was last loaded never undoes an edit or a deletion through the API. When a file is deleted, its DAG is deleted
only if it came from the folder. A pass costs a directory listing; the database is used only if a file is new, changed
or deleted. Texts are parsed outside of transactions: ten thousand of them take long, and a transaction would block
other writers. So each file is compared with the listing once more in the transaction: a command may have written it.

The folder may be a link whose target changes, as git-sync changes it with each commit. A listing during such a change
counts for nothing. A folder may also be about to disappear, file by file: git-sync removes a damaged checkout before it
makes it again. So a file counts as deleted only when two passes in a row lack the same files, and a folder that does
not exist deletes nothing.

The folder may be on a file system that does not answer, such as that of a dead NFS server. A thread that asks it cannot
be ended. So each pass has a thread of its own, and whoever waits for it goes on when the folder is silent.

Files at the top level of the folder are DAGs. Files in sub-folders can only be called, by their paths: they are not
listed and not scheduled, and are parsed when they are called.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

from services.scheduler.commands.definitions import BY_FOLDER, Definitions, Version
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.dag_folder.dag_files import DagFiles, read_data, text_of
from services.scheduler.deciding.plans import spec_hash
from services.scheduler.deciding.transactor import Transactor
from services.scheduler.loops.folder_files import UNREAD, Listing, Seen, list_files, reason, seen, shown
from shared.errors import Conflict, StoreUnavailable
from shared.language.file_names import EXTENSIONS
from shared.language.load import load
from shared.service import WatchedThread

__all__ = ["ANSWER_S", "Folder", "pause_s"]

_log = logging.getLogger(__name__)

ANSWER_S = 10.0
"""How long the file system of the folder may be silent when it is asked for something."""
_LOOK_EVERY_S = 1.0
_LISTING_SHARE = 0.05
"""The largest share of time spent on listing: folders with very many files are polled less often."""
_LOOK_AT_LATEST_S = 30.0
"""The longest pause, whatever a listing took: it may have waited for a slow disk or a machine that was suspended."""
_AT_ONCE = 200
_UNKNOWN: Mapping[str, Any] = MappingProxyType({"version": 0, "folder_hash": None})
"""The row of a DAG that is not stored."""
_ITSELF = "(DAG folder)"
_FLAGS = "(suspend flags)"
"""The names under which problems of the folder itself and of the folder of suspend flags are shown."""
_READ_ONLY = "cannot be written: changes of DAGs through the API are refused; edit the files where they come from"
_SILENT = "does not answer: no file in it is loaded, and none is written, until it does; repair its volume"


class Folder:
    """Follows the files of ``path``, one pass at a time. Files that cannot be loaded are skipped and reported.

    If commands write the folder, the suspend flags are followed too. At the start, a DAG that is suspended in the
    database and has no flag gets one: no schedule resumes because a folder of flags was set.

    ``on_death`` is called if a pass ends because of a bug.
    """

    def __init__(
        self,
        transactor: Transactor,
        path: Path,
        *,
        answer_s: float = ANSWER_S,
        on_death: Callable[[], None] = lambda: None,
    ) -> None:
        self._transactor = transactor
        self._path = path
        self._answer_s = answer_s
        self._on_death = on_death
        self._pass = threading.Thread()
        """The last pass. It goes on while the folder is silent."""
        self._asked_at: float | None = None
        """When the folder was asked for what it has not answered yet (monotonic time)."""
        self._reporting = threading.RLock()
        self._seen: dict[str, Seen] | None = None
        self._listed: frozenset[str] | None = None
        """The files that the last pass found; ``None`` before the first."""
        self._swept = False
        """Whether this process has deleted the DAGs whose files disappeared before it started."""
        self._refused: dict[str, str] = {}
        """Why files could not be loaded in the last pass, or why the present one goes on."""
        self._reported = False
        """Whether this process has shown problems, or that there are none. An earlier one may have left some."""
        self._listing_took_s = 0.0
        self._flags: frozenset[str] | None = None
        """The suspend flags in the last pass; ``None`` before the first."""
        if (files := transactor.memory.files) is not None:
            files.silent = self._overdue

    def run_once(self) -> int:
        """Load the files that changed since the last pass; return how many files were loaded or deleted.

        Raises:
            StoreUnavailable: the database is unavailable; the next pass tries again.
            OSError: the folder cannot be listed.
        """
        now = self._list()
        if now is None:
            return 0
        before = self._seen or {}
        refused = dict(now.refused)
        files = self._transactor.memory.files
        if files is not None:
            with self._asking():
                if files.read_only:
                    refused[_ITSELF] = _READ_ONLY
        # Files in a folder that cannot be listed now do not count as deleted.
        hidden = tuple(f"{name}/" for name in now.refused)
        there = now.files | {name: UNREAD for name in before if name.startswith(hidden)}
        # Callable files are loaded first, so that a DAG that calls them can be started as soon as it is visible.
        changed = sorted(
            (name for name, seen in now.files.items() if name not in refused and before.get(name) != seen),
            key=_below_first,
        )
        gone = before.keys() - there.keys()
        # While files disappear, the folder itself may be about to.
        settled = self._listed is not None and self._listed <= there.keys()
        self._listed = frozenset(there)
        if not settled:
            there |= {name: before[name] for name in gone}
            gone = set()
        newer = self._load(changed, now.files, refused)
        if gone or (settled and not self._swept):
            self._transactor.decide(lambda batch: _remove(batch, there, hidden, self._exists))
            self._swept = True
        if files is not None:
            self._follow_flags(files, refused, anew=bool(changed or gone))
        self._report(refused)
        unread = (refused.keys() & changed) | newer
        self._seen = there | dict.fromkeys(unread, UNREAD)
        return len(changed) - len(unread) + len(gone)

    def look(self) -> None:
        """Begin a pass if none goes on. Return when it has ended, or as soon as the folder is silent."""
        if not self._pass.is_alive():
            self._pass = WatchedThread("scheduler-folder-pass", self._run_pass, self._on_death)
            self._pass.start()
        while self._pass.is_alive() and not self._silent():
            self._pass.join(min(_LOOK_EVERY_S, self._answer_s))

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``; the body of a background thread."""
        while not stop.is_set():
            self.look()
            stop.wait(pause_s(self._listing_took_s))

    def _run_pass(self) -> None:
        try:
            self.run_once()
        except StoreUnavailable as error:
            _log.warning("folder.waits", extra={"error": str(error)})
        except OSError as error:
            self._report_itself(reason(error))

    def _silent(self) -> bool:
        """Return whether the folder is silent; if so, let gateways show it."""
        with self._reporting:
            silent = self._overdue()
            if silent:
                self._report_itself(_SILENT)
            return silent

    def _overdue(self) -> bool:
        asked_at = self._asked_at
        return asked_at is not None and time.monotonic() - asked_at > self._answer_s

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Let the folder count as silent if the block takes long. ``_note`` says that it has answered meanwhile."""
        self._note()
        try:
            yield
        finally:
            self._asked_at = None

    def _note(self) -> None:
        self._asked_at = time.monotonic()

    def _list(self) -> Listing | None:
        """List the folder; return ``None`` if it is a link whose target changed meanwhile. Raises ``OSError``."""
        began = time.monotonic()
        with self._asking():
            target = os.path.realpath(self._path, strict=True)
            found = list_files(Path(target), self._note)
            self._listing_took_s = time.monotonic() - began
            return found if os.path.realpath(self._path, strict=True) == target else None

    def _load(self, changed: Sequence[str], files: Mapping[str, Seen], refused: dict[str, str]) -> set[str]:
        """Load these of the listed ``files``; add those that cannot be read to ``refused``.

        Returns the files that have changed since they were listed, which are not loaded.
        """
        newer: set[str] = set()
        for start in range(0, len(changed), _AT_ONCE):
            names = changed[start : start + _AT_ONCE]
            listed = {_stem(name): (name, files[name]) for name in names}
            newer |= self._take_over(self._read(names, refused), listed)
        return newer

    def _report(self, refused: dict[str, str]) -> None:
        """Let gateways show why files cannot be loaded, and log what is new of it."""
        with self._reporting:
            if not self._reported or shown(refused) != shown(self._refused):
                self._transactor.decide(lambda batch: _show(batch, shown(refused)))
            for name, why in refused.items() - self._refused.items():
                _log.warning("folder.file_refused", extra={"file": name, "why": why})
            self._refused, self._reported = refused, True

    def _report_itself(self, why: str) -> None:
        """Report a problem of the folder as a whole, unless the database is unavailable."""
        try:
            self._report({**self._refused, _ITSELF: why})
        except StoreUnavailable as error:
            _log.warning("folder.waits", extra={"error": str(error)})

    def _read(self, names: Sequence[str], refused: dict[str, str]) -> dict[str, str]:
        """Return the texts of these files by path without extension; add files that cannot be read to ``refused``."""
        texts = {}
        for name in names:
            try:
                with self._asking():
                    data = read_data(self._path / name)
            except FileNotFoundError:
                continue
            except OSError as error:
                refused[name] = reason(error)
                continue
            texts[_stem(name)] = text_of(data)
        return texts

    def _take_over(self, texts: Mapping[str, str], listed: Mapping[str, tuple[str, Seen]]) -> set[str]:
        """Save the texts that differ from the last loaded texts of the same files. Both mappings are by file name.

        Returns the files that have changed since they were listed, which are not saved.
        """
        hashes = {file_name: spec_hash(text) for file_name, text in texts.items()}
        if below := {path: text for path, text in texts.items() if "/" in path}:
            self._transactor.decide(lambda batch: _save_callable(batch, below, hashes))
        top = sorted(texts.keys() - below.keys())
        if not top:
            return set()
        with self._transactor.store.begin() as tx:
            known, removed = tx.dags.followed(top), tx.dags.removed(top)
        found = [
            self._parsed(file_name, texts[file_name])
            for file_name in top
            if removed.get(file_name) != hashes[file_name]
            and known.get(file_name, _UNKNOWN)["folder_hash"] != hashes[file_name]
        ]
        if not found:
            return set()
        stale = self._transactor.decide(lambda batch: _save(batch, found, lambda name: self._as_listed(*listed[name])))
        return {listed[name][0] for name in stale}

    def _as_listed(self, name: str, before: Seen) -> bool:
        with self._asking():
            return before == UNREAD or seen(self._path / name) == before

    def _exists(self, stem: str) -> bool:
        with self._asking():
            return any(seen(self._path / f"{stem}{extension}") is not None for extension in EXTENSIONS)

    def _follow_flags(self, files: DagFiles, refused: dict[str, str], *, anew: bool) -> None:
        try:
            flags = self._list_flags(files)
            if flags is not None and (anew or flags != self._flags):
                first = self._flags is None
                self._transactor.decide(lambda batch: _suspend(batch, files, self._asking, keep=first))
                self._flags = self._list_flags(files)
        except (OSError, Conflict) as error:
            refused[_FLAGS] = reason(error) if isinstance(error, OSError) else str(error)

    def _list_flags(self, files: DagFiles) -> frozenset[str] | None:
        with self._asking():
            return files.flags()

    def _parsed(self, file_name: str, text: str) -> Version:
        loaded = load(text, file_name=file_name)
        for issue in loaded.errors:
            _log.warning("folder.faulty_dag", extra={"file": file_name, "problem": str(issue)})
        return Version.of(file_name, text, loaded)


def pause_s(listing_took_s: float) -> float:
    """Return how long to wait after a pass whose listing of the folder took so long."""
    return min(max(_LOOK_EVERY_S, listing_took_s / _LISTING_SHARE), _LOOK_AT_LATEST_S)


def _save(batch: Batch, found: Sequence[Version], as_listed: Callable[[str], bool]) -> set[str]:
    """Save parsed files, except files that another scheduler has saved or that were deleted through the API since.

    Returns the names of files that have changed since they were listed. They are not saved.
    """
    names = [version.file_name for version in found]
    # The lock waits for a concurrent deletion; ``removed`` is read after it, so that the deletion is seen.
    known = batch.tx.dags.followed(names, lock=True)
    removed = batch.tx.dags.removed(names)
    versions, stale = [], {name for name in names if not as_listed(name)}
    for version in found:
        if version.file_name in stale:
            continue
        before = known.get(version.file_name, _UNKNOWN)
        text_hash = spec_hash(version.text)
        if text_hash not in (before["folder_hash"], removed.get(version.file_name)):
            versions.append(replace(version, number=before["version"] + 1, folder_hash=text_hash))
    batch.tx.dags.forget_removed([version.file_name for version in versions if version.file_name in removed])
    Definitions(batch.tx, batch.plans, batch.now).save(versions, by=BY_FOLDER)
    batch.after.dags.update(version.file_name for version in versions)
    return stale


def _suspend(batch: Batch, files: DagFiles, asking: Callable[[], AbstractContextManager[None]], *, keep: bool) -> None:
    """Suspend and resume DAGs as their flags say. ``keep``: write a flag for those that are suspended without one."""

    def has_flag(name: str) -> bool | None:
        with asking():
            return files.suspended(name)

    differs = {name for name, suspended in batch.tx.dags.suspended().items() if has_flag(name) != suspended}
    locked = batch.tx.dags.suspended(sorted(differs), lock=True)
    definitions = Definitions(batch.tx, batch.plans, batch.now)
    for name, suspended in locked.items():
        flagged = has_flag(name)
        if suspended and not flagged and keep:
            with asking():
                files.suspend(name, suspended=True)
        elif flagged is not None and flagged != suspended:
            definitions.suspend(name, suspended=flagged)
            batch.after.dags.add(name)


def _save_callable(batch: Batch, texts: Mapping[str, str], hashes: Mapping[str, str]) -> None:
    batch.tx.dags.add_specs({hashes[path]: text for path, text in texts.items()}, batch.now)
    batch.tx.dags.put_callable_files({path: hashes[path] for path in texts})


def _remove(batch: Batch, present: Collection[str], hidden: tuple[str, ...], exists: Callable[[str], bool]) -> None:
    """Delete the DAGs and callable files of the folder whose files do not exist any more.

    Also forget which of them were deleted through the API. ``present`` may be older than the transaction.
    """
    stems = {_stem(name) for name in present}
    paths = batch.tx.dags.callable_files().keys() - stems
    batch.tx.dags.delete_callable_files(sorted(path for path in paths if not path.startswith(hidden)))
    gone = [
        file_name
        for file_name, row in batch.tx.dags.followed().items()
        if row["folder_hash"] is not None and file_name not in stems
    ]
    # A command may have made or renamed the file since. It holds the lock of the row until it commits.
    gone = [name for name in batch.tx.dags.followed(sorted(gone), lock=True) if not exists(name)]
    batch.tx.dags.delete(sorted(gone))
    batch.tx.dags.forget_removed(sorted(batch.tx.dags.removed().keys() - stems))


def _show(batch: Batch, problems: Mapping[str, str]) -> None:
    """Replace the stored problems by these, which the gateways show. Another scheduler may have done so already."""
    before = batch.tx.dags.refused()
    batch.tx.dags.forget_refused(sorted(before.keys() - problems.keys()))
    batch.tx.dags.keep_refused({name: why for name, why in problems.items() if before.get(name) != why})


def _below_first(name: str) -> tuple[bool, str]:
    return "/" not in name, name


def _stem(name: str) -> str:
    """Return a path without the file's extension."""
    return str(PurePosixPath(name).with_suffix(""))
