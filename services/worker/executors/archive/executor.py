"""Archive steps: ``command: create``, ``extract`` or ``list``.

A child process does the work, so that a stop or the timeout can end it and a malicious archive cannot affect the
worker process. A new archive is written to a hidden file in the folder of its destination, and renamed when it is
complete.
Source: docs/executors.md#details-of-each-type.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from services.worker.executors.base import Job, StepIO
from services.worker.executors.child_process import run_child
from services.worker.executors.results import make_result
from services.worker.executors.step_values import evaluate
from services.worker.process.outcome import Result
from shared.ids import new_token
from shared.language.steps.executor_config import ARCHIVE_OPERATIONS

__all__ = ["ArchiveExecutor"]

_CHILD = Path(__file__).with_name("child.py")
_CONFIG_CODE = 2


class ArchiveExecutor:
    """Creates, extracts or lists one archive, and prints a JSON result."""

    def run(self, job: Job, io: StepIO) -> Result:
        """Run the operation. The exit code tells the kind of error; see ``stream_formats.Exit``."""
        operation = job.step.commands[0].text.strip().lower() if job.step.commands else ""
        config: dict[str, Any] = evaluate(job, job.step.config)
        if operation not in ARCHIVE_OPERATIONS:
            return make_result(
                job, f"unknown archive operation: {operation!r}: command must be create, extract or list", _CONFIG_CODE
            )
        if not config.get("source"):
            return make_result(job, "config.source is required", _CONFIG_CODE)
        folder = job.working_dir
        job.supervisor.make_folder(folder)
        written = {name: str(config.get(name) or "") for name in ("source", "destination")}
        order = {**config, "operation": operation, "source": _inside(folder, config["source"]), "written": written}
        # Looked up here, since the child has no PATH.
        order["bsdtar"] = shutil.which("bsdtar", path=job.environment.process.get("PATH"))
        files = []
        if config.get("destination"):
            order["destination"] = _inside(folder, config["destination"])
            # Named here, so that it can be removed if the child is killed.
            target = Path(order["destination"])
            order["part"] = str(target.with_name(f".{target.name}.{new_token()}.part"))
            files = [order["part"]]
        try:
            ended = run_child(job, io, _CHILD, order, files)
        finally:
            for path in files:
                Path(path).unlink(missing_ok=True)
        if ended is None or ended.code == 0:
            return make_result(job)
        tail = io.stderr_tail()
        return make_result(job, f"archive {operation} failed: {tail}" if tail else "", ended.exit_code)


def _inside(folder: Path, text: object) -> str:
    return os.path.normpath(folder / Path(str(text)).expanduser())
