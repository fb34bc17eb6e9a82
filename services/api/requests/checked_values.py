"""Checks single values of requests: names, ids, durations and ETags. A value that is not valid raises a 400 or 404."""

import re
from datetime import UTC, datetime
from typing import Any

from services.api.problems import bad_request, not_found
from services.api.representations.json_values import node_label
from services.api.requests.workspace_names import stored
from shared.contracts.dag_scope import MOST_PATTERNS, PATTERN_RULE, valid_pattern
from shared.ids import DAG_NAME_RULE, RUN_ID_RULE, valid_dag_name, valid_run_id
from shared.language.file_names import without_extension
from shared.roles import ROLES

__all__ = [
    "LATEST",
    "any_name",
    "chosen_dag_name",
    "chosen_node_status",
    "dag_name",
    "dag_patterns",
    "duration",
    "etags",
    "file_name",
    "known_id",
    "known_run_id",
    "printable",
    "queue_name",
    "role",
    "run_id",
    "seconds",
    "utc",
]

LATEST = "latest"
_ID_CHARS = 36
"""The length of a UUID, which is the id of each user and API key."""
_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_UNIT_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(rf"(\d+(?:\.\d*)?|\.\d+)({'|'.join(sorted(_UNIT_S, key=len, reverse=True))})", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def chosen_node_status(number: int) -> str:
    """Return the node status that has this number. Raises a 400 if no node status has it."""
    status = node_label(number)
    if status is None:
        raise bad_request(f"status: {number} is not the number of a step status; use 0 to 8", field="status")
    return status.value


def any_name(text: str, field: str) -> str:
    """Return the stored name of anything. Raises a 400 for slashes, backslashes and control characters in ``text``."""
    if not text or text in {".", ".."} or "/" in text or "\\" in text or _CONTROL.search(text):
        raise bad_request(
            f"{field}: {_shown(text)} is not a valid name: it must not be empty, must not be '.' or '..', and must not "
            "contain a slash, backslash or control character",
            field=field,
        )
    return stored(text, field)


def file_name(text: str, field: str = "fileName") -> str:
    """Return the file name of a stored DAG, without its extension. Raises a 400 if ``text`` cannot be a file name."""
    stored_as = any_name(text, field)
    stem = without_extension(stored_as)
    return stored_as if stem == stored_as else any_name(stem, field)


def dag_name(text: str, field: str) -> str:
    """Return the stored name of a new DAG or file. Raises a 400 if ``text`` is not a valid DAG name."""
    if not valid_dag_name(text):
        raise bad_request(f"{field}: {_shown(text)} is not a valid DAG name ({DAG_NAME_RULE})", field=field)
    return stored(text, field)


def chosen_dag_name(given: str, field: str = "dagName") -> str | None:
    """Return the DAG name that a client chose for a run, or ``None`` if ``given`` is empty. Raises a 400 if invalid."""
    trimmed = given.strip()
    return dag_name(trimmed, field) if trimmed else None


def dag_patterns(patterns: list[str]) -> tuple[str, ...]:
    """Return the patterns of DAG names in the field ``dags``. Raises a 400 for too many, or one that is not valid."""
    if len(patterns) > MOST_PATTERNS:
        raise bad_request(f"dags: at most {MOST_PATTERNS} patterns", field="dags")
    for pattern in patterns:
        if not valid_pattern(pattern):
            raise bad_request(f"dags: {pattern[:60]!r} is not a pattern of DAG names ({PATTERN_RULE})", field="dags")
    return tuple(patterns)


def run_id(text: str) -> str:
    """Return a run id that a client chose for a new run. Raises a 400 if the id is not valid."""
    if not valid_run_id(text):
        raise bad_request(f"dagRunId: {_shown(text)} is not a valid run id ({RUN_ID_RULE})", field="dagRunId")
    return text


def known_run_id(text: str, field: str = "dagRunId") -> str:
    """Return the id of an existing run, or ``latest``. Raises a 404 if no run can have this id."""
    if text != LATEST and not valid_run_id(text):
        raise not_found(f"{field}: there is no run {_shown(text)}")
    return text


def known_id(text: str, kind: str) -> str:
    """Return the id of an existing user or API key. Raises a 404 if nothing of this ``kind`` can have it."""
    if len(text) > _ID_CHARS or "\0" in text:
        raise not_found(f"There is no {kind} {text[:40]!r}")
    return text


def queue_name(text: str, field: str = "queue") -> str:
    """Return the stored name of a queue. Raises a 400 if it is empty or has control characters."""
    if not text or _CONTROL.search(text):
        raise bad_request(f"{field}: {_shown(text)} must not be empty or have control characters", field=field)
    return stored(text, field)


def printable(text: str, field: str, *, most: int) -> str:
    """Return a name without the spaces around it. Raises a 400 if it is not 1 to ``most`` printable characters."""
    name = text.strip()
    if not name or len(name) > most or not name.isprintable():
        raise bad_request(f"{field}: must be 1 to {most} printable characters", field=field)
    return name


def role(text: str, *also: str) -> Any:
    """Return the name of a role, or one of ``also``. Raises a 400 for any other text."""
    known = (*reversed(ROLES), *also)
    if text not in known:
        raise bad_request(f"role: must be one of {', '.join(known)}", field="role")
    return text


def etags(header: str) -> tuple[str, ...]:
    """Return the ETags in an ``If-Match`` header, without quotes. Raises a 400 if a tag is malformed."""
    tags = tuple(filter(None, (part.strip() for part in header.split(","))))
    for tag in tags:
        if tag != "*" and not _ETAG.fullmatch(tag):
            raise bad_request("If-Match: must be the value of an ETag header in double quotes, or *")
    return tuple(tag.strip('"') for tag in tags)


def duration(text: str) -> float | None:
    """Return the seconds of a duration in Go's syntax, such as ``1h30m`` or ``1.5h``, or ``None`` if it is invalid."""
    if _DURATION.fullmatch(text) is None:
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in _PART.findall(text))


def seconds(text: str, field: str, *, most: float) -> float:
    """Return the seconds of a ``duration``. Raises a 400 if it is invalid or longer than ``most`` seconds."""
    total = duration(text)
    if total is None:
        raise bad_request(f"{field}: {_shown(text)} is not a duration such as 30s or 1m", field=field)
    if total > most:
        raise bad_request(f"{field}: must be at most {most:g} s", field=field)
    return total


def utc(moment: datetime | None, field: str) -> datetime | None:
    """Return a time in UTC. Raises a 400 if it has no time in UTC, as year 1 or 9999 in some time zones."""
    try:
        return None if moment is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise bad_request(f"{field}: is before year 1 or after year 9999", field=field) from error


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
