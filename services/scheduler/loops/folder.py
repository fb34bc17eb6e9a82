"""Follow a folder of YAML files: what changes there changes in the store.

The store is the truth, the folder a source: a file that did not change since it was last loaded
never undoes an edit made by API, and a file that went takes its dag along only if it came from here.
Looking costs a directory listing; the store is asked only when a file is new, changed or gone. Texts
are parsed outside of any transaction: ten thousand take their time, and others want to write meanwhile.
"""

import logging
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from services.scheduler.commands.dags import Definitions, Version
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.plans import spec_hash
from services.scheduler.deciding.shell import Shell
from shared.errors import StoreUnavailable
from shared.ids import valid_dag_name
from shared.spec.load import load

__all__ = ["Folder"]

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_AT_ONCE = 200
_MAX_BYTES = 1024 * 1024


_Seen = tuple[int, int]
"""A file's modification time in ns, and its size: while both stay, so does the text."""


class Folder:
    """The top level of ``path``, files ending in ``.yaml`` or ``.yml``."""

    def __init__(self, shell: Shell, path: Path) -> None:
        self._shell = shell
        self._path = path
        self._seen: dict[str, _Seen] | None = None
        self._refused: set[str] = set()
        """Files whose name no dag can have: told once."""

    def look(self) -> int:
        """Take over what changed since the last look; return how many dags that were.

        Raises:
            StoreUnavailable: the database is away; the next look tries again.
        """
        now = self._listing()
        before = self._seen if self._seen is not None else {}
        changed = [name for name, seen in sorted(now.items()) if before.get(name) != seen]
        gone = before.keys() - now.keys()
        for start in range(0, len(changed), _AT_ONCE):
            self._take_over(self._read(changed[start : start + _AT_ONCE]))
        if gone or self._seen is None:
            self._shell.decide(lambda batch: _remove(batch, now))
        self._seen = now
        return len(changed) + len(gone)

    def run(self, stop: threading.Event) -> None:
        """Look until ``stop``; the body of a background thread."""
        while not stop.is_set():
            try:
                self.look()
            except (StoreUnavailable, OSError) as error:
                _log.warning("folder.waits", extra={"path": str(self._path), "error": str(error)})
            stop.wait(_LOOK_EVERY_S)

    def _listing(self) -> dict[str, _Seen]:
        found = {}
        with os.scandir(self._path) as entries:
            for entry in entries:
                if not entry.name.endswith((".yaml", ".yml")) or not entry.is_file():
                    continue
                if valid_dag_name(Path(entry.name).stem):
                    status = entry.stat()
                    found[entry.name] = (status.st_mtime_ns, status.st_size)
                elif entry.name not in self._refused:
                    self._refused.add(entry.name)
                    _log.warning("folder.name_refused", extra={"file": entry.name})
        return found

    def _read(self, names: Sequence[str]) -> dict[str, str]:
        texts = {}
        for name in names:
            path = self._path / name
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            if len(data) > _MAX_BYTES:
                _log.warning("folder.file_too_large", extra={"file": name, "bytes": len(data)})
                continue
            texts[path.stem] = data.decode(errors="replace")
        return texts

    def _take_over(self, texts: Mapping[str, str]) -> None:
        """Save those of these texts that are not what the folder held before, by file name."""
        hashes = {file_name: spec_hash(text) for file_name, text in texts.items()}
        with self._shell.store.begin() as tx:
            known = tx.followed(sorted(texts))
        found = [
            self._parsed(file_name, text)
            for file_name, text in sorted(texts.items())
            if file_name not in known or known[file_name]["folder_hash"] != hashes[file_name]
        ]
        if found:
            self._shell.decide(lambda batch: _save(batch, found))

    def _parsed(self, file_name: str, text: str) -> Version:
        loaded = load(text, file_name=file_name)
        for issue in loaded.errors:
            _log.warning("folder.faulty_dag", extra={"file": file_name, "problem": str(issue)})
        return Version.of(file_name, text, loaded)


def _save(batch: Batch, found: Sequence[Version]) -> None:
    """Another scheduler may follow the same folder, and be quicker."""
    known = batch.tx.followed([version.file_name for version in found])
    versions = []
    for version in found:
        before = known.get(version.file_name, {"version": 0, "folder_hash": None})
        text_hash = spec_hash(version.text)
        if before["folder_hash"] != text_hash:
            versions.append(replace(version, number=before["version"] + 1, folder_hash=text_hash))
    Definitions(batch.tx, batch.plans, batch.now).save(versions, by="folder")
    batch.after.schedules = bool(versions)


def _remove(batch: Batch, present: Collection[str]) -> None:
    """Remove the dags that came from the folder and whose file is no longer there."""
    stems = {Path(name).stem for name in present}
    gone = [
        file_name
        for file_name, row in batch.tx.followed().items()
        if row["folder_hash"] is not None and file_name not in stems
    ]
    batch.tx.delete_dags(sorted(gone))
