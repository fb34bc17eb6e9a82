"""Creates the first user, an administrator, if the database has no users."""

import logging
import sys
import threading
from uuid import uuid4

from services.api.auth.tokens import Passwords, drawn, new_secret
from services.api.command_client import Commands, Recorded
from services.api.settings import Settings
from shared.contracts.actors import SYSTEM
from shared.contracts.commands.accounts import EnsureAdmin
from shared.errors import DagwayError
from shared.service import backoff_s
from shared.store.reads.reader import Reads

__all__ = ["FirstUser"]

_log = logging.getLogger(__name__)
_RANDOM_CHARS = 16


class FirstUser:
    """Creates the first user once per process: in the background at start, or at the first login if that is earlier."""

    def __init__(self, settings: Settings, reads: Reads, commands: Commands, passwords: Passwords) -> None:
        self._settings = settings
        self._reads = reads
        self._commands = commands
        self._passwords = passwords
        self._lock = threading.Lock()
        self._done = False

    def begin(self) -> None:
        """Start a thread that tries until there is a user."""
        threading.Thread(target=self._keep_trying, name="api-first-user", daemon=True).start()

    def ensure(self) -> None:
        """Create the first user if there are no users. Raises the errors of the database and of the command."""
        with self._lock:
            if self._done:
                return
            if not self._reads.has_users():
                self._create()
            self._done = True

    def _create(self) -> None:
        settings = self._settings
        password = settings.admin_password or new_secret("", drawn(12, server_secret="", purpose="", key=None))
        command = EnsureAdmin(
            by=SYSTEM.name,
            actor=SYSTEM,
            user_id=str(uuid4()),
            username=settings.admin_username or "admin",
            role="admin",
            password_hash=self._passwords.hash(password, drawn(16, server_secret="", purpose="", key=None)),
        )
        outcome = self._commands.ask(command)
        if isinstance(outcome, Recorded) and outcome.result.get("created"):
            _log.info("auth.first_user", extra={"username": command.username})
            if not settings.admin_password:
                # The password is printed once to standard output, never to the log.
                sys.stdout.write(f"First user: {command.username}, password: {password}\n")
                sys.stdout.flush()

    def _keep_trying(self) -> None:
        pause = threading.Event()
        for tries in range(1, 1000):
            try:
                self.ensure()
            except DagwayError as error:
                _log.info("auth.first_user_waits", extra={"error": str(error)})
                pause.wait(backoff_s(tries, cap_s=5))
            else:
                return
