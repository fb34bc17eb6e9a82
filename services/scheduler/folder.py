"""Follow a folder of YAML files: what changes there changes in the store.

The store is the truth, the folder a source: a file that did not change since it was last loaded
never undoes an edit made by API, and a file that went takes its dag along only if it came from here.
Looking costs a directory listing; the store is asked only when a file is new, changed or gone.
"""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.scheduler.definitions import Definitions
from services.scheduler.plans import spec_hash
from shared.errors import StoreUnavailable
from shared.ids import valid_dag_name
from shared.spec.load import load

if TYPE_CHECKING:
    from services.scheduler.batch import Batch
    from services.scheduler.shell import Shell

__all__ = ["Folder"]

_log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_AT_ONCE = 50
_MAX_BYTES = 1024 * 1024


_Seen = tuple[int, int]
"""A file's modification time in ns, and its size: while both stay, so does the text."""


class Folder:
    """The top level of ``path``, files ending in ``.yaml`` or ``.yml``."""

    def __init__(self, shell: "Shell", path: Path) -> None:
        self._shell = shell
        self._path = path
        self._seen: dict[str, _Seen] | None = None

    def look(self) -> int:
        """Take over what changed since the last look; return how many dags that were.

        Raises:
            StoreUnavailable: the database is away; the next look tries again.
        """
        now = self._listing()
        before = self._seen if self._seen is not None else {}
        changed = [name for name, seen in sorted(now.items()) if before.get(name) != seen]
        gone = sorted(before.keys() - now.keys())
        for start in range(0, len(changed), _AT_ONCE):
            texts = self._read(changed[start : start + _AT_ONCE])
            self._shell.decide(lambda batch, texts=texts: self._take_over(batch, texts))  # type: ignore[misc]
        if gone or self._seen is None:
            self._shell.decide(lambda batch: self._remove(batch, set(now)))
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
        for path in self._path.iterdir():
            if path.suffix in {".yaml", ".yml"} and path.is_file():
                if not valid_dag_name(path.stem):
                    _log.warning("folder.name_refused", extra={"file": path.name})
                    continue
                status = path.stat()
                found[path.name] = (status.st_mtime_ns, status.st_size)
        return found

    def _read(self, names: list[str]) -> dict[str, str]:
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

    def _take_over(self, batch: "Batch", texts: Mapping[str, str]) -> None:
        known: dict[str, dict[str, Any]] = {row["file_name"]: row for row in batch.tx.dags(sorted(texts))}
        definitions = Definitions(batch.tx, self._shell.plans, batch.now)
        for file_name, text in sorted(texts.items()):
            row = known.get(file_name)
            text_hash = spec_hash(text)
            if row is not None and row["folder_hash"] == text_hash:
                continue
            loaded = load(text, file_name=file_name)
            for issue in loaded.errors:
                _log.warning("folder.faulty_dag", extra={"file": file_name, "problem": str(issue)})
            definitions.save(file_name, text, loaded, by="folder", row=row, folder_hash=text_hash)
            batch.after.schedules = True

    def _remove(self, batch: "Batch", present: set[str]) -> None:
        stems = {Path(name).stem for name in present}
        for row in batch.tx.dags():
            if row["folder_hash"] is not None and row["file_name"] not in stems:
                batch.tx.delete_dag(row["file_name"])
