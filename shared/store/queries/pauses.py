"""Which pauses hold."""

from shared.store import tables as t

__all__ = ["IS_OPEN"]

IS_OPEN = t.pauses.c.resumed_at.is_(None)
"""The condition of a pause that nobody has ended."""
