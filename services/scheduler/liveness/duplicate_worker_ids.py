"""Detects two workers with the same id: each overwrites the row of the other, whose attempts then count as lost.

The evidence is a heartbeat of one incarnation that was sent after a younger incarnation of the same id has started.
When a worker was only restarted, all heartbeats of the old incarnation were sent before that, even if they arrive late.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.contracts.events import Heartbeat

__all__ = ["DuplicateWorkerIds"]

_log = logging.getLogger(__name__)
_AGAIN_AFTER = timedelta(minutes=1)
_ADVICE = "set a different DAGWAY_WORKER_ID for each worker"


class DuplicateWorkerIds:
    """Logs an error for each worker id that two workers use, at most once a minute."""

    def __init__(self) -> None:
        self._logged_at: dict[str, datetime] = {}

    def check(self, beats: Iterable[Heartbeat], rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Compare heartbeats with the ``rows`` of their workers in the database, and log shared ids."""
        known = {row["worker_id"]: row for row in rows}
        for beat in beats:
            row = known.get(beat.worker_id)
            if row is None or row["incarnation"] == beat.incarnation:
                continue
            if not beat.started_at < row["started_at"] < beat.at:
                continue
            logged_at = self._logged_at.get(beat.worker_id)
            if logged_at is None or now - logged_at >= _AGAIN_AFTER:
                self._logged_at[beat.worker_id] = now
                hosts = f"{beat.host}, {row['host']}"
                _log.error("worker.id_shared", extra={"worker_id": beat.worker_id, "hosts": hosts, "next": _ADVICE})
