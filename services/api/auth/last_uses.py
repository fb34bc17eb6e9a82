"""Records when API keys and webhooks were used: in the background, and at most once a minute for each.

No request waits for it or fails because of it. A use is lost while the broker is unavailable; the next one is recorded.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from shared.contracts.actors import SYSTEM
from shared.contracts.commands.accounts import TouchCredential
from shared.errors import DagwayError
from shared.service import WatchedThread

if TYPE_CHECKING:
    from services.api.command_client import Commands

__all__ = ["EVERY", "CredentialKind", "LastUses"]

EVERY = timedelta(minutes=1)
"""Minimum time between two recorded uses of the same API key or webhook, over all gateways."""
_MOST = 10_000
_log = logging.getLogger(__name__)

CredentialKind = Literal["api_key", "webhook"]


class LastUses:
    """Takes uses from requests and sends them from a thread of its own, which starts with the first use."""

    def __init__(self, commands: "Commands", clock: Callable[[], datetime]) -> None:
        self._commands = commands
        self._clock = clock
        self._change = threading.Condition()
        self._noted: dict[str, datetime] = {}
        self._waiting: dict[str, CredentialKind] = {}
        self._thread: WatchedThread | None = None

    def note(self, kind: CredentialKind, row_id: str, recorded: datetime | None) -> None:
        """Note a use now. ``recorded``: the last use in the database. Never waits and never raises."""
        now = self._clock()
        with self._change:
            last = max(filter(None, (self._noted.get(row_id), recorded)), default=None)
            if last is not None and now - last < EVERY:
                return
            if len(self._noted) >= _MOST:
                self._noted.clear()
            self._noted[row_id] = now
            self._waiting[row_id] = kind
            if self._thread is None or not self._thread.is_alive():
                self._thread = WatchedThread("api-last-uses", self._run)
                self._thread.start()
            self._change.notify()

    @property
    def waiting(self) -> bool:
        """Whether uses wait to be sent."""
        return bool(self._waiting)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._waiting)
                waiting, self._waiting = self._waiting, {}
            for row_id, kind in waiting.items():
                self._send(kind, row_id)

    def _send(self, kind: CredentialKind, row_id: str) -> None:
        try:
            command = TouchCredential(by=SYSTEM.name, actor=SYSTEM, kind=kind, id=row_id)
            self._commands.wait_for_confirm(self._commands.send(command))
        except DagwayError as error:
            _log.info("auth.last_use_lost", extra={"credential": row_id, "error": str(error)})
