"""A wrong clock for a ``dagway`` process of a test."""

from datetime import timedelta
from pathlib import Path

__all__ = ["wrong_clock"]

_SITE = """
import datetime, shared.clock
right = shared.clock.utc_now
shared.clock.utc_now = lambda: right() + datetime.timedelta(seconds={seconds})
"""


def wrong_clock(folder: Path, ahead: timedelta) -> dict[str, str]:
    """Return the environment of a process whose clock is ahead of the right one. Uses a file in ``folder``."""
    (folder / "sitecustomize.py").write_text(_SITE.format(seconds=ahead.total_seconds()))
    return {"PYTHONPATH": str(folder)}
