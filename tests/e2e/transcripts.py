"""Runs commands in this process, and compares what they print."""

import re
from collections.abc import Callable

from click.testing import Result

__all__ = ["GREET", "Dagway", "plain"]

Dagway = Callable[..., Result]
"""Gives one command, as words; the environment variables are those of a user of the deployment."""

GREET = """
params:
  - NAME: world
steps:
  - name: greet
    command: echo "Hello, ${NAME}!"
  - name: warn
    command: echo careful >&2
    depends: greet
"""


def plain(text: str) -> str:
    """Return a transcript without what differs from run to run: ids, times, durations and padding."""
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "RUN", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:Z|[+-]\d\d:?\d\d)", "TIME", text)
    text = re.sub(r"\b\d+(?:\.\d+)?s\b", "0s", text)
    return re.sub(r" {2,}", "  ", text)
