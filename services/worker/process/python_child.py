"""Run a Python script in a child process, so that it shares no memory, interpreter lock or environment with the worker.

The guardian starts the script by ``python -I`` with an empty environment. The script reads its order as JSON from
standard input, which is an unlinked temporary file, so no file is left behind.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from services.worker.process.outcome import ProcessExit
from services.worker.process.supervisor import Supervisor

__all__ = ["run_script"]


def run_script(
    supervisor: Supervisor, script: Path, order: dict[str, Any], *, cwd: str, stdout: int, stderr: int
) -> ProcessExit | None:
    """Run ``script`` until it ends. Returns ``None`` if a stop or the timeout came before the start."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(order).encode())
        stdin.seek(0)
        argv = [sys.executable, "-I", str(script)]
        return supervisor.run(argv, env={}, cwd=cwd, stdout=stdout, stderr=stderr, stdin=stdin.fileno())
