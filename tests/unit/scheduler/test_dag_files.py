"""Files of the DAG folder that commands write while an editor may save them too."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from services.processes.scheduler import written_files
from services.scheduler.deciding.dag_folder import atomic_files
from services.scheduler.deciding.dag_folder.dag_files import (
    ChangedInFolder,
    DagFiles,
    FolderFull,
    NotWritable,
    RefusedChanges,
)
from services.scheduler.deciding.plans import spec_hash
from shared.errors import AlreadyExists, ConfigInvalid, InvalidInput
from shared.settings.config import load_config
from shared.system import renaming

OLD, NEW, EDITED = "steps:\n  - echo 1\n", "steps:\r\n  - echo ü", "steps:\n  - echo edited\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dags"
    made.mkdir()
    return made


@pytest.fixture(params=["linux", "portable"])
def files(folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DagFiles:
    if request.param == "portable":
        monkeypatch.setattr(atomic_files, "renamed", lambda *_: False)
    return DagFiles(folder, folder.parent / "suspend")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_written_as_it_is_and_the_file_keeps_its_rights(folder: Path, files: DagFiles) -> None:
    (folder / "a.yml").write_text(OLD)
    (folder / "a.yml").chmod(0o604)
    files.put("a", NEW, spec_hash(OLD))
    files.put("a", NEW, spec_hash(OLD))
    files.create("b", NEW)
    files.create("b", NEW)
    files.put("made-by-api", NEW, None)

    assert names(folder) == ["a.yml", "b.yaml", "made-by-api.yaml"]
    assert {path.read_bytes() for path in folder.iterdir()} == {NEW.encode()}
    assert (folder / "a.yml").stat().st_mode & 0o777 == 0o604


def test_a_link_stays_a_link(folder: Path, files: DagFiles) -> None:
    real = folder.parent / "repository.yaml"
    real.write_text(OLD)
    (folder / "a.yaml").symlink_to("../repository.yaml")

    files.put("a", NEW, spec_hash(OLD))
    files.move("a", "b", NEW, spec_hash(NEW))
    assert real.read_bytes() == NEW.encode()
    assert (folder / "b.yaml").readlink() == Path("../repository.yaml")
    files.remove("b", spec_hash(NEW))
    assert names(folder) == []
    assert real.exists()


def test_what_was_edited_in_the_folder_is_neither_overwritten_nor_removed(folder: Path, files: DagFiles) -> None:
    (folder / "a.yaml").write_text(EDITED)
    (folder / "taken.yml").write_text(EDITED)
    known = spec_hash(OLD)
    refused: list[tuple[type[Exception], Callable[[], None]]] = [
        (ChangedInFolder, lambda: files.put("a", NEW, known)),
        (ChangedInFolder, lambda: files.put("a", NEW, None)),
        (ChangedInFolder, lambda: files.put("deleted", NEW, known)),
        (ChangedInFolder, lambda: files.remove("a", known)),
        (ChangedInFolder, lambda: files.move("a", "b", OLD, known)),
        (ChangedInFolder, lambda: files.move("deleted", "b", OLD, known)),
        (AlreadyExists, lambda: files.move("a", "taken", EDITED, spec_hash(EDITED))),
        (AlreadyExists, lambda: files.create("a", NEW)),
        (AlreadyExists, lambda: files.create("taken", NEW)),
        (InvalidInput, lambda: files.create("large", "#" * (1024 * 1024 + 1))),
    ]
    for error, change in refused:
        with pytest.raises(error):
            change()

    assert names(folder) == ["a.yaml", "taken.yml"]
    assert (folder / "a.yaml").read_text() == EDITED


@pytest.mark.parametrize("change", ["put", "remove"])
@pytest.mark.parametrize("again", [False, True])
def test_a_text_that_is_saved_at_the_moment_of_the_change_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: str, again: bool
) -> None:
    path, files = folder / "a.yaml", DagFiles(folder)
    path.write_text(OLD)

    def save(text: str) -> None:
        other = folder / ".swap"
        other.write_text(text)
        other.replace(path)

    texts = [EDITED, "steps: [echo newest]\n"] if again else [EDITED]
    saved: list[str] = []
    really_renamed, really_rename = renaming.renamed, Path.rename

    def renamed(*args: Any) -> bool:
        if len(saved) < len(texts):
            saved.append(texts[len(saved)])
            save(saved[-1])
        return really_renamed(*args)

    def rename(one: Path, other: Path) -> Path:
        saved.append(texts[-1])
        save(texts[-1])
        return really_rename(one, other)

    monkeypatch.setattr(atomic_files, "renamed", renamed)
    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(ChangedInFolder):
        if change == "put":
            files.put("a", NEW, spec_hash(OLD))
        else:
            files.remove("a", spec_hash(OLD))

    assert path.read_text() == texts[-1]
    assert names(folder) == ["a.yaml"]


def test_a_file_moves_with_its_flag_and_leaves_with_it(folder: Path, files: DagFiles) -> None:
    flags = folder.parent / "suspend"
    (folder / "a.yml").write_text(OLD)
    files.suspend("a", suspended=True)
    assert names(flags) == ["a.suspend"]

    files.move("a", "b", NEW, spec_hash(OLD))
    assert (names(folder), names(flags)) == (["b.yml"], ["b.suspend"])
    assert (folder / "b.yml").read_bytes() == NEW.encode()
    files.move("no-file-yet", "c", NEW, None)
    files.remove("b", spec_hash(NEW))
    files.remove("b", spec_hash(NEW))
    assert (names(folder), names(flags)) == (["c.yaml"], [])
    files.suspend("with space", suspended=True)
    assert names(flags) == ["with-space.suspend"], "as Dagu names it"
    files.suspend("with space", suspended=False)
    assert names(flags) == []


def test_a_folder_that_cannot_be_written_says_so(
    folder: Path, files: DagFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.yaml").write_text(OLD)
    really_open = os.open

    def failing(code: int) -> Callable[..., int]:
        def fail(path: Any, flags: int, *args: Any) -> int:
            if flags & os.O_CREAT:
                raise OSError(code, os.strerror(code))
            return really_open(path, flags, *args)

        return fail

    monkeypatch.setattr(os, "open", failing(errno.EROFS))
    with pytest.raises(NotWritable, match="Read-only file system.*DAGWAY_DAGS_WRITE=database"):
        files.put("a", NEW, spec_hash(OLD))
    monkeypatch.setattr(os, "open", failing(errno.ENOSPC))
    with pytest.raises(FolderFull):
        files.create("b", NEW)
    assert names(folder) == ["a.yaml"]


def test_dags_are_written_to_the_folder_only_where_there_is_one(tmp_path: Path) -> None:
    def written(command: Literal["up", "scheduler"], **environ: str) -> bool:
        return written_files(load_config({}, environ), command) is not None

    folder = {"DAGWAY_DAGS_DIR": str(tmp_path)}
    assert (written("up", **folder), written("scheduler", **folder), written("up")) == (True, False, False)
    assert written("scheduler", DAGWAY_DAGS_WRITE="folder", **folder)
    assert not written("up", DAGWAY_DAGS_WRITE="database", **folder)
    # The scheduler that refuses need not be the one that has the folder.
    refusing = written_files(load_config({}, {"DAGWAY_DAGS_WRITE": "refuse"}), "scheduler")
    assert isinstance(refusing, RefusedChanges)
    with pytest.raises(ConfigInvalid, match="DAGWAY_DAGS_WRITE is folder: set DAGWAY_DAGS_DIR"):
        written("scheduler", DAGWAY_DAGS_WRITE="folder")
