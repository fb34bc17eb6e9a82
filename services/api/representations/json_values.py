"""Values in responses of the API: status numbers, times, paging, and fields that are left out.

Only this file uses the API's status numbers (as in Dagu's REST API v2), which ``shared.status`` lists. All other code
uses status labels.
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from shared.status import NODE_LABELS, RUN_LABELS, NodeStatus, RunStatus

__all__ = [
    "MAX_PER_PAGE",
    "NEVER",
    "duration_ms",
    "milliseconds",
    "node_label",
    "node_status",
    "pagination",
    "precise",
    "run_label",
    "run_status",
    "sparse",
    "timestamp",
]

MAX_PER_PAGE = 200
NEVER = "0001-01-01T00:00:00Z"
"""No time, in a field that always has one."""
_QUARTER_S = 900
_RUN: dict[str, int] = {label: number for number, label in enumerate(RUN_LABELS)}
_NODE: dict[str, int] = {label: number for number, label in enumerate(NODE_LABELS)}
_RUN_LABEL = {number: RunStatus(label) for label, number in _RUN.items()}
_NODE_LABEL = {number: NodeStatus(label) for label, number in _NODE.items()}


def run_status(label: str) -> int:
    """Return the number of a run status."""
    return _RUN[label]


def node_status(label: str) -> int:
    """Return the number of a node status. The number 5 means *skipped* for nodes but *queued* for runs."""
    return _NODE[label]


def run_label(number: int) -> RunStatus | None:
    """Return the run status that has this number, or ``None`` if no run status has it."""
    return _RUN_LABEL.get(number)


def node_label(number: int) -> NodeStatus | None:
    """Return the node status that has this number, or ``None`` if no node status has it."""
    return _NODE_LABEL.get(number)


def timestamp(at: datetime | None, zone: tzinfo | None, none: str = "") -> str:
    """Return ``at`` as RFC 3339 in ``zone``, with whole seconds. ``zone=None``: the local time zone of the process."""
    if at is None:
        return none
    shift, suffix = _offset(int(at.timestamp()) // _QUARTER_S, zone)
    return (at + shift).isoformat()[:19] + suffix


def milliseconds(at: datetime | None, zone: tzinfo | None) -> str:
    """Return ``at`` like ``timestamp``, with milliseconds; ``None`` becomes an empty text."""
    if at is None:
        return ""
    shift, suffix = _offset(int(at.timestamp()) // _QUARTER_S, zone)
    return (at + shift).replace(tzinfo=None).isoformat(timespec="milliseconds") + suffix


@lru_cache(maxsize=50_000)
def _offset(quarter: int, zone: tzinfo | None) -> tuple[timedelta, str]:
    """Return the UTC offset and its text. Offsets change only at full quarters of an hour, so a quarter is the key."""
    local = datetime.fromtimestamp(quarter * _QUARTER_S, UTC).astimezone(zone)
    text = local.isoformat(timespec="seconds")[19:]
    return local.utcoffset() or timedelta(), "Z" if text == "+00:00" else text


def duration_ms(started_at: datetime | None, finished_at: datetime | None) -> int | None:
    """Return the time between both, or ``None`` if one is missing; 0 counts as 1, because a sparse field is not 0."""
    if started_at is None or finished_at is None:
        return None
    return max(1, round((finished_at - started_at) / timedelta(milliseconds=1)))


def precise(at: datetime | str | None) -> str:
    """Return a time, or its ISO 8601 text, as RFC 3339 in UTC with fractions of a second. ``None`` becomes year 1."""
    if at is None:
        return NEVER
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def sparse(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not empty, zero or false."""
    return {name: value for name, value in fields.items() if value}


def pagination(*, total: int, page: int, per_page: int) -> dict[str, Any]:
    """Return the paging fields. An empty list has one page. ``nextPage`` and ``prevPage`` are ``None`` at the ends."""
    pages = max(1, -(-total // per_page))
    return {
        "totalRecords": total,
        "currentPage": page,
        "totalPages": pages,
        "nextPage": page + 1 if page < pages else None,
        "prevPage": page - 1 if page > 1 else None,
    }
