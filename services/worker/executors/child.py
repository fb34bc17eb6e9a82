"""Run work in a bounded child process: what must not share this process's memory, lock or environment.

The child is a script of its own, started as ``python -I`` under the guardian with an empty
environment. It reads its order as JSON from standard input, an unlinked file, so that nothing is left
behind whatever happens.
"""

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.process.outcome import Ended

__all__ = ["run_child"]


def run_child(job: Job, io: StepIO, script: Path, order: dict[str, Any], files: Sequence[str] = ()) -> Ended | None:
    """Run ``script`` to its end; ``files`` are removed should the worker die meanwhile."""
    with tempfile.TemporaryFile() as stdin, job.supervisor.will(files=files):
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
