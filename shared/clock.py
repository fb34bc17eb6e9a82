"""The current time and the host's time zone. No other module asks the operating system for them.

Functions that need the time take it as an argument ``now``, an aware UTC ``datetime``. Only the modules that start
processes and loops call ``utc_now``.
"""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

__all__ = ["local_zone", "utc_now"]


def utc_now() -> datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.now(UTC)


def local_zone(name: str = "") -> ZoneInfo:
    """Return the time zone ``name``. If there is none, return the zone that /etc/localtime links to, else UTC."""
    path = str(Path("/etc/localtime").resolve())
    for candidate in (name, path.partition("/zoneinfo/")[2]):
        try:
            if candidate:
                return ZoneInfo(candidate)
        except (ValueError, KeyError, OSError):
            continue
    return ZoneInfo("UTC")
