"""The only place that asks the operating system for the time of day and its zone.

Below the composition roots time is an argument (``now``), an aware UTC ``datetime``.
"""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

__all__ = ["local_zone", "utc_now"]


def utc_now() -> datetime:
    """Return the present moment as an aware UTC datetime."""
    return datetime.now(UTC)


def local_zone(name: str = "") -> ZoneInfo:
    """Return the zone called ``name``, else the one /etc/localtime is a link to, else UTC."""
    path = str(Path("/etc/localtime").resolve())
    for candidate in (name, path.partition("/zoneinfo/")[2]):
        try:
            if candidate:
                return ZoneInfo(candidate)
        except (ValueError, KeyError, OSError):
            continue
    return ZoneInfo("UTC")
