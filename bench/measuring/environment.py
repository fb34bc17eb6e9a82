"""Environments of their own for packages that only a bench uses."""

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["environment"]


@contextmanager
def environment(packages: Sequence[str]) -> Iterator[Path]:
    """Install packages into a new environment and yield its Python. Exits with the reason if pip cannot."""
    with tempfile.TemporaryDirectory(prefix="dagway-bench-") as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pip = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *packages], stderr=subprocess.PIPE, text=True, check=False
        )
        if pip.returncode:
            sys.exit(f"pip could not install {', '.join(packages)}:\n{pip.stderr[-2000:]}")
        yield python
