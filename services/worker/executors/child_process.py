"""Run a Python script of an executor in a child process; see ``services.worker.process.python_child``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.process.outcome import ProcessExit
from services.worker.process.python_child import run_script

__all__ = ["run_child"]


def run_child(
    job: Job, io: StepIO, script: Path, order: dict[str, Any], files: Sequence[str] = ()
) -> ProcessExit | None:
    """Run ``script`` until it ends. The guardian removes ``files`` if the worker dies before.

    Returns ``None`` if a stop or the timeout came before the start.
    """
    cwd = job.working_dir if job.working_dir.is_dir() else os.sep
    with job.supervisor.cleanup(files=files):
        return run_script(job.supervisor, script, order, cwd=str(cwd), stdout=io.stdout, stderr=io.stderr)
