"""Run a Python script in a child process, so that it shares no memory, interpreter lock or environment with the worker.

The guardian starts the script by ``python -I`` with an empty environment. The script reads its order as JSON from
standard input, which is an unlinked temporary file, so no file is left behind.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.process.outcome import ProcessExit

__all__ = ["run_child"]


def run_child(
    job: Job, io: StepIO, script: Path, order: dict[str, Any], files: Sequence[str] = ()
) -> ProcessExit | None:
    """Run ``script`` until it ends. The guardian removes ``files`` if the worker dies before.

    Returns ``None`` if a stop or the timeout came before the start.
    """
    with tempfile.TemporaryFile() as stdin, job.supervisor.cleanup(files=files):
        stdin.write(json.dumps(order).encode())
        stdin.seek(0)
        cwd = job.working_dir if job.working_dir.is_dir() else os.sep
        return job.supervisor.run(
            [sys.executable, "-I", str(script)],
            env={},
            cwd=str(cwd),
            stdout=io.stdout,
            stderr=io.stderr,
            stdin=stdin.fileno(),
        )
