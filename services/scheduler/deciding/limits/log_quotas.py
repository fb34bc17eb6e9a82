"""The quotas of workspaces for the bytes of logs of one day (UTC).

When a quota is used up, steps go on and their logs are still received. But only the size of a chunk beyond the quota
is stored (``dropped``), and, where a log is first cut, a line that says why.

What is used is a number in one row for each workspace with a quota. It is read before and increased at the end of the
transaction, without a lock in between: together, schedulers may exceed a quota by what they store at the same moment.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.scheduler.deciding.limits.workspace_rules import WorkspaceRules
from shared.store.writes.transaction import Transaction
from shared.workspaces import DEFAULT, workspace_of

__all__ = ["LogQuotas", "cut_logs", "used_up_line"]

Row = dict[str, Any]
ChunkId = tuple[str, str, int]
"""Token, stream and number of a chunk."""
_NEAR = 64
"""How many numbers before and behind a chunk are looked at for a cut.

Schedulers share the chunks of one log, so the next chunk that is stored may be some numbers away.
"""


class LogQuotas:
    """Cuts the log chunks of one transaction. ``count`` adds at its end what they use."""

    def __init__(self, tx: Transaction, now: datetime, rules: WorkspaceRules) -> None:
        self._tx = tx
        self._now = now
        self._rules = rules
        self._used: Counter[str] = Counter()

    def cut(self, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of chunks as they are to be stored."""
        limits = self._rules.log_quotas(self._tx) if rows else {}
        if not limits:
            return list(rows)
        names = self._tx.runs.names(sorted({row["run_key"] for row in rows}))
        of = {key: workspace_of(dag_name) for key, (dag_name, _) in names.items()}
        limited: dict[str, list[Row]] = {}
        stored: list[Row] = []
        for row in rows:
            workspace = of.get(row["run_key"], DEFAULT)
            (limited.setdefault(workspace, []) if workspace in limits else stored).append(row)
        used = self._tx.workspaces.log_bytes(sorted(limited), _day(self._now)) if limited else {}
        for workspace, chunks in limited.items():
            left = max(0, limits[workspace] - used[workspace])
            line = used_up_line(workspace, limits[workspace], self._now)
            kept, bytes_used = cut_logs(chunks, self._known(chunks, left), left, line)
            stored += kept
            self._used[workspace] += bytes_used
        return stored

    def count(self) -> None:
        """Record what was used. Call it last in the transaction: others wait for these rows until its end."""
        self._tx.workspaces.count_log_bytes(+self._used, _day(self._now))

    def _known(self, chunks: Sequence[Row], left: int) -> Mapping[ChunkId, int]:
        # Most transactions cut nothing. Then it only matters which of their own chunks are stored already.
        near = _NEAR if sum(len(row["data"]) for row in chunks) > left else 0
        numbers = {row["seq"] + steps for row in chunks for steps in range(-near, near + 1)}
        return self._tx.runs.chunks_cut({row["token"] for row in chunks}, numbers)


def used_up_line(workspace: str, limit: int, now: datetime) -> bytes:
    """Return the line with which a log is cut."""
    again = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (
        f"[log cut: the workspace {workspace} has used up its quota of {limit} bytes of logs for {_day(now)} (UTC); "
        f"output is stored again from {again.isoformat(timespec='seconds')} on]\n"
    ).encode()


def cut_logs(chunks: Sequence[Row], known: Mapping[ChunkId, int], left: int, line: bytes) -> tuple[list[Row], int]:
    """Return the chunks of one workspace as they are to be stored, and how many bytes of the quota they use. Pure.

    ``known``: what was dropped from the chunks that are stored already, and from those near them. ``left``: how many
    bytes may still be stored. ``line`` says once where a log is cut, although several schedulers get its chunks, in
    any order. Schedulers that cut it at the same moment each add the line.
    """
    dropped = dict(known)
    stored, used = [], 0
    for row in sorted(chunks, key=lambda each: (each["token"], each["stream"], each["seq"])):
        key = row["token"], row["stream"], row["seq"]
        size = len(row["data"])
        if key in dropped:
            # It was delivered twice: it is stored, and counted.
            stored.append(row)
            continue
        if size <= left:
            dropped[key] = 0
            stored.append(row)
            used, left = used + size, left - size
            continue
        data = _whole_lines(row["data"][:left])
        # Also what is left of a line is used: else shorter chunks after it would be stored, and the log have holes.
        used, left = used + left, 0
        if not _is_cut_beside(dropped, key):
            data += line
        if len(data) == size:
            data += b"\n"
        dropped[key] = size - len(data)
        stored.append({**row, "data": data, "lines": data.count(b"\n"), "dropped": dropped[key]})
    return stored, used


def _is_cut_beside(dropped: Mapping[ChunkId, int], key: ChunkId) -> bool:
    """Return whether the nearest known chunk before this one, or behind it, was cut: then its log has the line."""
    token, stream, seq = key
    for way in (-1, 1):
        beside = ((token, stream, seq + way * steps) for steps in range(1, _NEAR + 1))
        if dropped.get(next((each for each in beside if each in dropped), key)):
            return True
    return False


def _whole_lines(data: bytes) -> bytes:
    """Return the data up to its last line end. If it has none, it becomes a line."""
    end = data.rfind(b"\n") + 1
    return data[:end] if end or not data else data + b"\n"


def _day(now: datetime) -> str:
    return now.date().isoformat()
