"""The only place that asks the operating system for the time of day.

Below the composition roots time is an argument (``now``), an aware UTC ``datetime``.
"""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.now(UTC)
