"""Creates the first user, an administrator, if the database has no users."""

import logging
import secrets
import sys
import threading
from dataclasses import dataclass, field
from uuid import uuid4

from services.api.auth.tokens import Passwords
from services.api.command_client import Commands, Recorded
from services.api.settings import Settings
from shared.base58 import base58
from shared.contracts.actors import SYSTEM
from shared.contracts.commands.accounts import EnsureAdmin
from shared.errors import DagwayError, Unavailable
from shared.ids import new_command_id
from shared.service import backoff_s
from shared.store.reads.reader import Reads

__all__ = ["FirstUser"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Request:
    """The command that creates the user, which is sent until its outcome is known, and the password in it."""

    command_id: str
    command: EnsureAdmin
    password: str = field(repr=False)


class FirstUser:
    """Creates the first user once per process: in the background at start, or at the first login if that is earlier."""

    def __init__(self, settings: Settings, reads: Reads, commands: Commands, passwords: Passwords) -> None:
        self._settings = settings
        self._reads = reads
        self._commands = commands
        self._passwords = passwords
        self._lock = threading.Lock()
        self._request: _Request | None = None
        self._done = False

    def begin(self) -> None:
        """Start a thread that tries until there is a user."""
        threading.Thread(target=self._keep_trying, name="api-first-user", daemon=True).start()

    def ensure(self) -> None:
        """Create the first user if there are no users.

        Raises the errors of the database and of the command, and ``Unavailable`` if no scheduler has replied.
        """
        with self._lock:
            if self._done:
                return
            if self._request is not None or not self._reads.has_users():
                self._create()
            self._done = True

    def _create(self) -> None:
        # The same command each time: a scheduler may carry it out later, and then with the password that was drawn.
        request = self._request = self._request or self._draw()
        outcome = self._commands.ask(request.command, key=request.command_id)
        if not isinstance(outcome, Recorded):
            raise Unavailable("no scheduler has said yet whether it created the first user")
        if outcome.result.get("created"):
            _log.info("auth.first_user", extra={"username": request.command.username})
            if not self._settings.admin_password:
                # The password is printed once to standard output, never to the log.
                sys.stdout.write(f"First user: {request.command.username}, password: {request.password}\n")
                sys.stdout.flush()

    def _draw(self) -> _Request:
        settings = self._settings
        password = settings.admin_password or base58(secrets.token_bytes(12))
        command = EnsureAdmin(
            by=SYSTEM.name,
            actor=SYSTEM,
            user_id=str(uuid4()),
            username=settings.admin_username or "admin",
            role="admin",
            password_hash=self._passwords.hash(password, secrets.token_bytes(16)),
        )
        return _Request(new_command_id(), command, password)

    def _keep_trying(self) -> None:
        pause = threading.Event()
        for tries in range(1, 1000):
            try:
                self.ensure()
            except DagwayError as error:
                _log.info("first_user.waits", extra={"error": str(error)})
                pause.wait(backoff_s(tries, cap_s=5))
            else:
                return
