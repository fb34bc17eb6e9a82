"""Two workers under one id: each takes the other's place in the records, and what the other runs counts as lost.

It is seen by an incarnation that speaks although a younger one has begun. One that was restarted, or whose
last words came late, said them before that.
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
    """Says so in the log, once a minute for each id."""

    def __init__(self) -> None:
        self._told: dict[str, datetime] = {}

    def check(self, beats: Iterable[Heartbeat], rows: Iterable[Mapping[str, Any]], now: datetime) -> None:
        """Compare what workers say with what is recorded of them; ``rows`` are the database's."""
        known = {row["worker_id"]: row for row in rows}
        for beat in beats:
            row = known.get(beat.worker_id)
            if row is None or row["incarnation"] == beat.incarnation:
                continue
            if not beat.started_at < row["started_at"] < beat.at:
                continue
            told = self._told.get(beat.worker_id)
            if told is None or now - told >= _AGAIN_AFTER:
                self._told[beat.worker_id] = now
                hosts = f"{beat.host}, {row['host']}"
                _log.error("worker.id_shared", extra={"worker_id": beat.worker_id, "hosts": hosts, "next": _ADVICE})
