"""The order in which queues are looked at: workspaces take turns, so none waits for all queues of another. Pure."""

from collections.abc import Iterable
from itertools import zip_longest

from shared.workspaces import workspace_of

__all__ = ["by_turns"]


def by_turns(queues: Iterable[str]) -> list[str]:
    """Return the queues so that each round has at most one of each workspace."""
    of: dict[str, list[str]] = {}
    for name in sorted(queues):
        of.setdefault(workspace_of(name), []).append(name)
    return [name for each in zip_longest(*of.values()) for name in each if name is not None]
