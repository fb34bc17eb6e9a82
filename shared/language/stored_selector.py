"""The worker selector of a stored spec, without parsing the many specs that have none."""

import re
from collections.abc import Mapping

from shared.language.load import load
from shared.language.snapshot import parse_snapshot

__all__ = ["stored_selector"]

_WRITTEN = re.compile("worker_?selector", re.IGNORECASE)
"""The field in the spellings of both versions of Dagu."""


def stored_selector(text: str) -> Mapping[str, str]:
    """Return the worker selector of the DAG in a stored spec; an empty one if the spec cannot be read."""
    frozen = parse_snapshot(text)
    if frozen.selector:
        return frozen.selector
    if not _WRITTEN.search(frozen.base + frozen.text):
        return {}
    # A file may give its DAG no name; the selector does not depend on the name.
    dag = load(text, file_name="any").dag
    return dag.worker_selector if dag is not None else {}
