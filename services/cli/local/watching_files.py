"""``dagway run --watch``: run again when a file changes."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from services.cli.errors import WorkflowInvalid
from services.cli.exit_codes import INTERRUPTED
from services.cli.output.terminal import say

__all__ = ["run_on_change"]

_LOOK_S = 0.2
_Times = dict[Path, tuple[int, int]]


def run_on_change(file: Path, arguments: Sequence[str]) -> NoReturn:
    """Run ``dagway`` with ``arguments`` but without ``--watch``, now and after each change, until Ctrl-C.

    Each run is a process of its own. A change during a run stops it first.
    """
    place = list(arguments).index("--watch")  # what comes after it may be parameters
    command = [sys.executable, "-m", "dagway", *arguments[:place], *arguments[place + 1 :]]
    child: subprocess.Popen[bytes] | None = None
    try:
        while True:
            seen = _times(_files(file))
            child = subprocess.Popen(command)
            ended = False
            while _times(seen) == seen:
                if not ended and child.poll() is not None:
                    ended = True
                    say(f"waiting for a change of {', '.join(map(str, seen))} (Ctrl-C ends)")
                time.sleep(_LOOK_S)
            _stop(child)
    except KeyboardInterrupt:
        if child is not None:
            _stop(child)
        sys.exit(INTERRUPTED)


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    child.wait()


def _files(file: Path) -> Iterable[Path]:
    """Return the file and those that it calls; only the file while it has errors."""
    from services.cli.local.bundle import read_bundle  # noqa: PLC0415 - not for the help page

    try:
        return read_bundle(file).files
    except WorkflowInvalid:
        return (file,)


def _times(files: Iterable[Path]) -> _Times:
    """Return the time and size of each file; zeros for one that is missing, as while an editor replaces it."""
    found: _Times = {}
    for path in files:
        try:
            about = path.stat()
            found[path] = (about.st_mtime_ns, about.st_size)
        except OSError:
            found[path] = (0, 0)
    return found
