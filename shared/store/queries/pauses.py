"""The condition that selects open pauses."""

from shared.store import tables as t

__all__ = ["IS_OPEN"]

IS_OPEN = t.pauses.c.resumed_at.is_(None)
"""The condition of an open pause, i.e. one that has not been ended."""
