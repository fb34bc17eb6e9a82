"""Read ``schedule`` and ``catchup``, and check cron expressions.

A cron expression has five fields: minute, hour, day of month, month, and day of week (0-7, where 0 and 7 are Sunday).
A field may have lists, ranges, steps, ``?``, and names of months and weekdays in any letter case. The five fields may
be replaced by ``@daily`` and similar names. The prefix ``CRON_TZ=Zone`` or ``TZ=Zone`` sets the time zone.
"""

import re
from functools import lru_cache
from typing import Any, get_args
from zoneinfo import ZoneInfo

from shared.language.model import Catchup, CatchupPolicy, Schedule
from shared.language.yaml.fields import Fields, Vocabulary, type_name
from shared.language.yaml.reader import YamlMap

__all__ = ["CATCHUP_KEYS", "CRON_ALIASES", "cron_error", "read_catchup", "read_schedule", "split_zone"]

_MAX_LENGTH = 200
_MAX_EXPRESSIONS = 100
CRON_ALIASES = {
    "@hourly": "0 * * * *",
    **dict.fromkeys(("@daily", "@midnight"), "0 0 * * *"),
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    **dict.fromkeys(("@yearly", "@annually"), "0 0 1 1 *"),
}
CATCHUP_KEYS = Vocabulary("policy", "limit", "windowSec")
_POLICIES: tuple[CatchupPolicy, ...] = get_args(CatchupPolicy)
_MAX_CATCHUP = 1000
_ZONE = re.compile(r"(?:CRON_TZ|TZ)=(\S*)\s+(.*)\Z", re.DOTALL)
_COMMAS = re.compile(r",{2,}")
_ANY = ("*", "*/1", "?")
_FIELD_NAMES = ("minute", "hour", "day of month", "month", "day of week")
_FIELD = re.compile(r"[0-9*?/,\-]+\Z")
_MONTHS = re.compile(r"(?i)\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\b")
_DAYS = re.compile(r"(?i)\b(?:sun|mon|tue|wed|thu|fri|sat)\b")
_RANGE = re.compile(r"(\w+)-(\w+)")
_VALUES = {name: value for value, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_VALUES |= {
    name: value
    for value, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}


def split_zone(expression: str) -> tuple[str, str]:
    """Return the time zone and the fields of a cron expression, with one space between fields.

    The zone is empty if it is missing or is ``Local``. As in Dagu, it is UTC in ``CRON_TZ= 0 0 * * *``, and a comma
    with nothing beside it does not count. Copied text may have other spaces, such as U+00A0.
    """
    text = " ".join(_COMMAS.sub(",", part).strip(",") or part for part in expression.split())
    match = _ZONE.match(text)
    return ("" if match[1] == "Local" else match[1] or "UTC", match[2]) if match else ("", text)


@lru_cache(maxsize=4096)
def cron_error(expression: str) -> str:
    """Return what is wrong with a cron expression; empty if it is valid."""
    if len(expression) > _MAX_LENGTH:
        return f"the cron expression is longer than {_MAX_LENGTH} characters"
    zone, cron = split_zone(expression)
    if zone and not _zone_exists(zone):
        return f'unknown time zone "{zone}"'
    if cron.startswith("@"):
        known = ", ".join(sorted(CRON_ALIASES))
        return "" if cron.lower() in CRON_ALIASES else f'unknown descriptor "{cron}" (must be one of: {known})'
    parts = cron.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: {cron}"
    for index, part in enumerate(parts):
        digits = _MONTHS.sub("1", part) if index == 3 else _DAYS.sub("1", part) if index == 4 else part
        if not _FIELD.match(digits):
            return f"syntax error in field {index + 1} ({_FIELD_NAMES[index]}): {part}"
        if backwards := next((found[0] for found in _RANGE.finditer(part) if _runs_backwards(found)), None):
            return f"the range {backwards} in field {index + 1} ({_FIELD_NAMES[index]}) ends before it begins"
    from croniter import croniter  # noqa: PLC0415 - most workflows have no schedule, and the import starts a process

    try:
        # Croniter accepts a question mark only in the day of month and the day of week. ``strict`` refuses dates that
        # never occur, such as February 31. With days of the week, the expression is due on those.
        valid = croniter.is_valid(cron.replace("?", "*"), strict=parts[4] in _ANY)
    except (ValueError, KeyError, OverflowError):
        valid = False
    return "" if valid else f"not a valid cron expression: {cron} (a value or range is wrong, or the date never occurs)"


def _runs_backwards(ends: re.Match[str]) -> bool:
    """Return whether a range ends before it begins, which croniter alone would accept. A range may end on ``SUN``."""
    low, high = (_VALUES.get(end.lower(), int(end) if end.isdigit() else -1) for end in ends.groups())
    return low > high >= 0 and ends[2].lower() != "sun"


def _zone_exists(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (ValueError, KeyError, OSError):
        return False
    return True


def read_schedule(fields: Fields) -> Schedule:
    """Read ``schedule``: a string, a list of strings, or a map with ``start``, ``stop`` and ``restart``."""
    value = fields.get("schedule")
    if not isinstance(value, YamlMap):
        return Schedule(start=_expressions(fields, "schedule", value, "schedule"))
    inner = Fields(fields.issues, value, fields.sub("schedule"), None)
    found: dict[str, tuple[str, ...]] = {}
    for key, item in value.items():
        if key in Schedule.model_fields:
            found[key] = _expressions(inner, key, item, f"schedule.{key}")
        else:
            inner.error(key, f'schedule: unknown key "{key}" (expected start, stop, or restart)')
    return Schedule(**found)


def _expressions(fields: Fields, name: str, value: Any, label: str) -> tuple[str, ...]:
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    if len(items) > _MAX_EXPRESSIONS:
        fields.error(name, f"invalid schedule: more than {_MAX_EXPRESSIONS} expressions")
        return ()
    found: list[str] = []
    sound = True
    for index, item in enumerate(items):
        if not isinstance(item, str):
            where = f"{label}[{index}]" if isinstance(value, list) else label
            fields.error(name, f"invalid schedule: {where}: expected string, got {type_name(item)}")
        elif item.strip():
            problem = cron_error(item.strip())
            if problem:
                hint = "leave out the seconds: minute hour day month weekday" if "found 6" in problem else ""
                fields.error(name, f"invalid schedule: {problem}", hint=hint)
                sound = False
            found.append(item.strip())
    # If one expression is invalid, return none, because pages show dags with errors and rely on valid expressions.
    return tuple(found) if sound else ()


def read_catchup(fields: Fields) -> Catchup:
    """Read ``catchup``: ``none``, ``latest``, ``all``, or a map with ``policy``, ``limit`` and ``windowSec``."""
    if not isinstance(fields.get("catchup"), YamlMap):
        return Catchup(policy=fields.choice("catchup", _POLICIES) or "none")
    inner = fields.mapping("catchup", CATCHUP_KEYS)
    assert inner is not None  # noqa: S101 - it is a map
    default = Catchup()
    limit = inner.integer("limit", default.limit, minimum=1)
    if limit > _MAX_CATCHUP:
        inner.error("limit", f"limit must be at most {_MAX_CATCHUP}")
    return Catchup(
        policy=inner.choice("policy", _POLICIES) or "none",
        limit=min(limit, _MAX_CATCHUP),
        window_sec=inner.seconds("windowSec", default.window_sec, minimum=60),
    )
