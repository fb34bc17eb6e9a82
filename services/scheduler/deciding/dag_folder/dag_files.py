"""Writes DAGs to the DAG folder (``DAGWAY_DAGS_WRITE=folder``), and reads its files as the scheduler sees them.

A file is only changed if its text is the one that the database knows. If somebody edited it since, the change is
refused, and the next pass over the folder loads the edit. So the newer text is never lost. A function that raises has
changed nothing, and each can be repeated: a text that is already in place counts as written.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.scheduler.deciding.dag_folder.atomic_files import create_file, move_file, remove_file, replace_file
from services.scheduler.deciding.plans import spec_hash
from shared.errors import AlreadyExists, Conflict, InvalidInput
from shared.language.file_names import EXTENSIONS

__all__ = ["MAX_BYTES", "ChangedInFolder", "DagFiles", "NotWritable", "RefusedChanges", "read_data", "text_of"]

MAX_BYTES = 1024 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_IN_FLAGS = re.compile(r'[<>:"/\\|?*\x00-\x1f ]')


class ChangedInFolder(Conflict):
    """Somebody changed or deleted the file since the DAG was loaded from it."""

    code = "conflict"


class NotWritable(Conflict):
    """The folder or a file in it cannot be written by this process."""

    code = "forbidden"


class FolderFull(Conflict):
    """The file system of the folder is full."""

    code = "service_unavailable"


class FolderSilent(Conflict):
    """The file system of the folder does not answer. Nothing else is known of it: asked now, it would not return."""

    code = "service_unavailable"


def read_data(path: Path) -> bytes:
    """Return the content of a file. Raises ``OSError`` if it cannot be read or is larger than 1 MiB.

    A link must stay on its file system. People other than the administrator may write to the folder, and every viewer
    can read a DAG: a link could show them this process's environment in ``/proc``, or a secret mounted elsewhere.
    """
    with path.open("rb") as file:
        found, named = os.fstat(file.fileno()), path.lstat()
        if not os.path.samestat(found, named) and found.st_dev != named.st_dev:
            raise OSError(errno.EXDEV, "a link to another file system")
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise OSError(errno.EFBIG, "larger than 1 MiB")
    return data


def text_of(data: bytes) -> str:
    """Return the text of a file as it is stored."""
    # Postgres cannot store NUL. Another control character makes the YAML invalid just the same.
    return data.decode(errors="replace").replace("\0", "\1")


class DagFiles:
    """The files of the DAG folder ``path`` and the suspend flags in ``flags``, a folder; ``None``: none are kept.

    Thread-safe. The methods that change a file raise ``ChangedInFolder``, ``NotWritable``, ``FolderFull``,
    ``FolderSilent``, and ``AlreadyExists`` if a new name is taken. ``known`` is the hash of the text that was last
    loaded from the file; ``None`` if the DAG has no file.
    """

    def __init__(self, path: Path, flags: Path | None = None) -> None:
        self._path = path
        self._flags = flags
        self.silent: Callable[[], bool] = lambda: False
        """Tells whether nothing may be asked of the folder, because it does not answer. Who follows it sets this."""

    @property
    def read_only(self) -> bool:
        """Whether this process may not write to the folder."""
        return not os.access(self._path, os.W_OK)

    def put(self, file_name: str, text: str, known: str | None) -> None:
        """Write the text of a DAG. A new file is made if the DAG has none."""
        data = text.encode()
        if len(data) > MAX_BYTES:
            raise InvalidInput("spec: larger than 1 MiB, so its file could not be loaded")
        with self._os_errors_refused(file_name):
            path = self._find(file_name)
            if path is None and known is None:
                self._create(file_name, data)
            elif path is None or not replace_file(path.resolve(), data, _text_is_one_of({known, spec_hash(text)})):
                raise _changed(file_name)

    def create(self, file_name: str, text: str) -> None:
        """Write the file of a new DAG. A file that has this text already is accepted."""
        with self._os_errors_refused(file_name):
            path = self._find(file_name)
        if path is None:
            self.put(file_name, text, None)
        elif not _text_is_one_of({spec_hash(text)})(path):
            raise _taken(path)

    def move(self, file_name: str, new_name: str, text: str, known: str | None) -> None:
        """Rename the file of a DAG and write its text. Without a file, make one with the new name."""
        with self._os_errors_refused(file_name):
            path, target = self._find(file_name), self._find(new_name)
            if path is None:
                if known is not None and target is None:
                    raise _changed(file_name)
                self.create(new_name, text)
            elif target is not None:
                raise _taken(target)
            elif not _text_is_one_of({known, spec_hash(text)})(path):
                raise _changed(file_name)
            else:
                self._move(path, new_name, text, known)
            if self._flags is not None:
                with suppress(FileNotFoundError):
                    self._flag(file_name).replace(self._flag(new_name))

    def _move(self, path: Path, new_name: str, text: str, known: str | None) -> None:
        target = self._path / f"{new_name}{path.suffix}"
        try:
            move_file(path, target)
        except FileExistsError:
            raise _taken(target) from None
        if known == spec_hash(text):
            return  # what somebody saved in this moment has moved too, and is loaded from the new file
        try:
            self.put(new_name, text, known)
        except Conflict:
            move_file(target, path)
            raise

    def remove(self, file_name: str, known: str | None) -> None:
        """Remove the file of a DAG, and its suspend flag."""
        with self._os_errors_refused(file_name):
            path = self._find(file_name)
            if path is not None and not remove_file(path, _text_is_one_of({known})):
                raise _changed(file_name)
            if self._flags is not None:
                self._flag(file_name).unlink(missing_ok=True)

    def suspend(self, file_name: str, suspended: bool) -> None:
        """Set or remove the suspend flag of a DAG, if flags are kept."""
        if self._flags is None:
            return
        with self._os_errors_refused(file_name):
            if suspended:
                self._flags.mkdir(parents=True, exist_ok=True)
                self._flag(file_name).touch()
            else:
                self._flag(file_name).unlink(missing_ok=True)

    def suspended(self, file_name: str) -> bool | None:
        """Return whether a DAG has a suspend flag; ``None`` if no flags are kept."""
        return None if self._flags is None else self._flag(file_name).exists()

    def flags(self) -> frozenset[str] | None:
        """Return the names of all suspend flags; ``None`` if none are kept. Raises ``OSError``."""
        if self._flags is None:
            return None
        try:
            return frozenset(path.name for path in self._flags.iterdir() if path.suffix == ".suspend")
        except FileNotFoundError:
            return frozenset()

    @contextmanager
    def _os_errors_refused(self, file_name: str) -> Iterator[None]:
        """Turn an ``OSError`` of the block into a refusal that says what to do."""
        if self.silent():
            raise FolderSilent(f"the file of DAG {file_name} cannot be written: the DAG folder does not answer")
        try:
            yield
        except OSError as error:
            why = error.strerror or type(error).__name__
            if error.errno in _FULL:
                raise FolderFull(f"the file of DAG {file_name} cannot be written: {why}") from error
            raise NotWritable(
                f"the file of DAG {file_name} cannot be written: {why}. Edit it where it comes from, or set "
                "DAGWAY_DAGS_WRITE=database"
            ) from error

    def _create(self, file_name: str, data: bytes) -> None:
        path = self._path / f"{file_name}{EXTENSIONS[0]}"
        try:
            create_file(path, data)
        except FileExistsError:
            raise _taken(path) from None

    def _find(self, file_name: str) -> Path | None:
        for extension in EXTENSIONS:
            path = self._path / f"{file_name}{extension}"
            if path.is_file():
                return path
        return None

    def _flag(self, file_name: str) -> Path:
        # As Dagu names it, so that both find the flags of the other.
        if self._flags is None:
            raise ValueError("no flags are kept")
        return self._flags / f"{_NOT_IN_FLAGS.sub('-', file_name)}.suspend"


class RefusedChanges(DagFiles):
    """Refuses to change DAGs, because they come from elsewhere, such as Git (``DAGWAY_DAGS_WRITE=refuse``).

    Only what no file can undo is allowed: to suspend DAGs, and to delete those that came from no file.
    """

    def __init__(self) -> None:
        super().__init__(Path())

    @property
    def read_only(self) -> bool:
        """False: that changes are refused is no problem to show."""
        return False

    def put(self, file_name: str, text: str, known: str | None) -> None:  # noqa: ARG002 - refused whatever they are
        """Raise ``NotWritable``."""
        raise _refused(file_name)

    def create(self, file_name: str, text: str) -> None:  # noqa: ARG002 - as above
        """Raise ``NotWritable``."""
        raise _refused(file_name)

    def move(self, file_name: str, new_name: str, text: str, known: str | None) -> None:  # noqa: ARG002 - as above
        """Raise ``NotWritable``."""
        raise _refused(file_name)

    def remove(self, file_name: str, known: str | None) -> None:
        """Raise ``NotWritable``, unless the DAG came from no file."""
        if known is not None:
            raise _refused(file_name)


def _refused(file_name: str) -> NotWritable:
    return NotWritable(
        f"DAG {file_name} cannot be changed here: change its file where it comes from, for instance in Git "
        "(DAGWAY_DAGS_WRITE=refuse)"
    )


def _text_is_one_of(hashes: set[str | None]) -> Callable[[Path], bool]:
    def accepted(path: Path) -> bool:
        try:
            return spec_hash(text_of(read_data(path))) in hashes
        except OSError:
            return False

    return accepted


def _taken(path: Path) -> AlreadyExists:
    return AlreadyExists(f"the DAG folder already has a file {path.name}")


def _changed(file_name: str) -> ChangedInFolder:
    return ChangedInFolder(f"the file of DAG {file_name} was changed in the DAG folder: read the DAG again")
