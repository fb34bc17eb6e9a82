"""Which pauses hold."""

from sqlalchemy import select

from shared.store import tables as t

__all__ = ["OPEN_PAUSES"]

OPEN_PAUSES = select(t.pauses).where(t.pauses.c.resumed_at.is_(None)).order_by(t.pauses.c.scope.desc(), t.pauses.c.name)
"""The pauses nobody has resumed, the one of a queue before the global one before those of DAGs. Built once: each page
of DAGs asks for them."""
