"""Detects two workers with the same id: each overwrites the other's row, and the other's attempts count as lost.

The sign is a heartbeat of an incarnation sent after a younger one has started. A restarted worker, or one
whose last heartbeat comes late, sent it before that.
"""

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.contracts.events import Heartbeat

__all__ = ["DuplicateWorkerIds"]

_log = logging.getLogger(__name__)
_AGAIN_AFTER = timedelta(minutes=1)
_ADVICE = "give each worker a DAGWAY_WORKER_ID of its own"


class DuplicateWorkerIds:
    """Logs an error once a minute for each shared id."""

    def __init__(self) -> None:
        self._logged_at: dict[str, datetime] = {}

    def check(self, beats: Iterable[Heartbeat], rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Compare heartbeats with the workers' ``rows`` in the database."""
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
