"""What ``dagway up`` keeps on its disk can be read by its user only, whatever the umask is."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.private_files import private_file
from tests.harness.cluster import Embedded, everything_below
from tests.harness.eventually import eventually

_DEPTH = len(("worker", "logs", "the DAG", "the run"))


@contextmanager
def open_umask() -> Iterator[None]:
    old = os.umask(0)
    try:
        yield
    finally:
        os.umask(old)


def open_to_others(folder: Path) -> dict[str, str]:
    """Return what others have a right to. The files of a run and its logs are in folders that nobody else can enter."""
    found = {}
    for path in (folder, *everything_below(folder)):
        try:
            mode = stat.S_IMODE(path.lstat().st_mode)
        except FileNotFoundError:  # the system has removed it meanwhile
            continue
        parts = path.relative_to(folder).parts
        of_a_run = parts[:1] == ("worker",) and parts[1:2] in {("runs",), ("logs",)} and len(parts) > _DEPTH
        if mode & 0o077 and not of_a_run:
            found[str(path.relative_to(folder))] = oct(mode)
    return found


def test_state_is_private_with_an_open_umask_and_existing_state_is_narrowed(tmp_path: Path) -> None:
    with open_umask():
        system = Embedded(tmp_path)
        with system:
            system.client.create("secretive", "params: TOKEN=x\nsteps: [echo $TOKEN]\n")
            system.client.start("secretive", "r")
            system.client.until("succeeded", "secretive", "r")
            assert open_to_others(system.data_dir) == {}
            names = {path.name for path in everything_below(system.data_dir)}
            assert {"dagway.db", "transport.sqlite3", "worker", "worker-seal-keys", "logs", "spool", "runs"} <= names
            assert "data_dir.open_to_others" not in system.process.output()

            system.process.terminate()
            for path in (system.data_dir, system.data_dir / "dagway.db", system.data_dir / "worker/logs"):
                path.chmod(0o777 if path.is_dir() else 0o666)
            system.start()

            def narrowed() -> None:
                """The worker narrows its folders when it starts, which may be after the gateway answers."""
                assert open_to_others(system.data_dir) == {".": "0o777"}

            eventually(narrowed)
            assert "data_dir.open_to_others" in system.process.output()


def test_companions_of_a_database_are_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    for each in (path, path.with_name("some.db-wal")):
        each.write_bytes(b"rows")
        each.chmod(0o644)

    private_file(path)

    assert [stat.S_IMODE(each.stat().st_mode) for each in sorted(tmp_path.iterdir())] == [0o600, 0o600]
    assert path.read_bytes() == b"rows"
