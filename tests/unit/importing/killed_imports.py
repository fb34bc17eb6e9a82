"""Import a home again and again, each time killed by SIGKILL at another place: ``python -m ... HOME FOLDER``.

The places are before and after the commit of each transaction. After each kill the import is repeated to its end.
Prints one line of JSON for each place: how many runs the repetition loaded and found, and whether the database is the
same as that of an import without a kill.
"""

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, select

from services.importing import history
from services.importing.dagu import import_dagu
from services.importing.report import Report
from services.importing.target import Target, open_target
from shared.settings.config import load_config
from shared.store import tables as t
from shared.store.engine import open_engine
from shared.store.writes.transaction import Transaction

__all__ = ["main"]

_SHOWN: tuple[tuple[ColumnElement[Any], ...], ...] = (
    (t.dags.c.file_name,),
    (t.users.c.username, t.users.c.password_hash),
    (t.dag_runs.c.dag_name, t.dag_runs.c.dag_run_id, t.dag_runs.c.status),
    (t.nodes.c.idx, t.nodes.c.name, t.nodes.c.status),
    (t.transitions.c.node, t.transitions.c.was, t.transitions.c.became),
    (t.attempts.c.node, t.attempts.c.outcome),
    (t.log_chunks.c.stream, t.log_chunks.c.data),
)
"""What is compared of each table: not the keys, which differ between two imports."""
_begin = Target.begin


def _imported(home: Path, folder: Path) -> Report:
    return import_dagu(load_config({"data_dir": str(folder)}, {}, terminal=False), home, "test")


def _content(folder: Path) -> list[list[tuple[Any, ...]]]:
    engine = open_engine(f"sqlite:///{folder}/dagway.db", read_only=True)
    with engine.connect() as connection:
        content = [sorted(map(tuple, connection.execute(select(*columns))), key=str) for columns in _SHOWN]
    engine.dispose()
    return content


def _killed(home: Path, folder: Path, place: int) -> bool:
    """Import in a child process that is killed at ``place``; return whether it came that far."""
    pid = os.fork()
    if pid == 0:
        count = 0

        def passed() -> None:
            nonlocal count
            count += 1
            if count == place:
                os.kill(os.getpid(), signal.SIGKILL)

        @contextmanager
        def begin(self: Target) -> Iterator[Transaction]:
            with _begin(self) as tx:
                yield tx
                # All rows are written, and not committed.
                passed()
            passed()

        Target.begin = begin  # type: ignore[method-assign]
        _imported(home, folder)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and status != 0:
        raise RuntimeError("the import failed before it was killed")
    return os.WIFSIGNALED(status)


def main(home: Path, folder: Path) -> None:
    """Kill at one place after the other, until an import ends before the next one."""
    history._AT_ONCE = 2
    config = load_config({"data_dir": str(folder / "empty")}, {}, terminal=False)
    with open_target(config, dry_run=False):
        pass
    shutil.copytree(folder / "empty", folder / "whole")
    _imported(home, folder / "whole")
    whole = _content(folder / "whole")
    for place in itertools.count(1):
        # Copied, because a migration takes longer than all the rest.
        shutil.copytree(folder / "empty", folder / str(place))
        if not _killed(home, folder / str(place), place):
            return
        counts = _imported(home, folder / str(place)).counts()["run"]
        print(json.dumps({"place": place, "runs": counts, "same": _content(folder / str(place)) == whole}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
