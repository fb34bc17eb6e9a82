"""Times and durations as people read them."""

from datetime import datetime

__all__ = ["duration", "seconds_between", "short_time"]


def seconds_between(started: str, finished: str, now: datetime) -> float | None:
    """Return the seconds from one API time to another, or to ``now``. Return ``None`` without a first."""
    begin, end = _moment(started), _moment(finished) or now
    return None if begin is None else max(0.0, (end - begin).total_seconds())


def duration(seconds: float | None) -> str:
    """Return a duration, such as ``0.4s``, ``2s``, ``3m05s`` or ``2h07m``; empty for ``None``."""
    if seconds is None:
        return ""
    if seconds < 9.95 and seconds != int(seconds):  # the API has whole seconds: 1 s is not 1.0 s
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def short_time(text: str) -> str:
    """Return an API time without the letter T and without fractions; empty for a missing time."""
    found = _moment(text)
    if found is None:
        return ""
    zone = found.strftime("%z")
    return f"{found:%Y-%m-%d %H:%M:%S}{'Z' if zone == '+0000' else zone}"


def _moment(text: str) -> datetime | None:
    if not text or text == "-":
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
