"""Makes and hashes secrets. A gateway sends only hashes to the scheduler.

Passwords are hashed slowly (argon2id). API keys and webhook tokens have 32 random bytes, so SHA-256 is enough, and the
database can find them by their hash. Secrets imported from Dagu keep their bcrypt hashes until they are replaced. If a
request has an Idempotency-Key, all random values are derived from this key and the server's secret. So the same request
sent again makes the same command.
"""

import hashlib
import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from services.api.problems import unavailable
from services.api.serving.greenlets import run_in_thread

__all__ = ["BCRYPT", "HOOK_PREFIX", "KEY_PREFIX", "ImportedSecrets", "Passwords", "drawn", "secret_hash"]

KEY_PREFIX = "dagu_"
HOOK_PREFIX = "dagu_wh_"
BCRYPT = "$2"
"""How the hashes of secrets begin that were imported from Dagu."""
_HASHES_AT_ONCE = 2
"""Computing a hash takes 64 MiB and one core for a sixth of a second."""
_WAIT_S = 10.0
_MOST_FITTING = 10_000


def drawn(size: int, *, server_secret: str, purpose: str, key: str | None) -> bytes:
    """Return ``size`` random bytes, 32 at most. With a ``key``, they are derived from secret, key and purpose."""
    if key is None:
        return secrets.token_bytes(size)
    return hmac.digest(server_secret.encode(), f"{purpose}\0{key}".encode(), "sha256")[:size]


def secret_hash(secret: str) -> str:
    """Return the hash of an API key or webhook token, as it is stored."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Passwords:
    """Hashes and verifies passwords, at most two at a time, so that logins cannot exhaust memory and CPU."""

    def __init__(self, wait_s: float = _WAIT_S) -> None:
        self._wait_s = wait_s
        self._hasher = PasswordHasher(type=Type.ID)
        self._slots = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._nobody: str | None = None

    def hash(self, password: str, salt: bytes) -> str:
        """Return the hash of a password, to be stored; ``salt`` has 16 bytes."""
        with self._slots:
            return run_in_thread(lambda: self._hasher.hash(password, salt=salt))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn to verify a password. Raises a 503 if that takes too long: a right password is not wrong."""
        if not self._slots.acquire(timeout=self._wait_s):
            raise unavailable(
                "The server verifies too many passwords at the moment; nothing was changed. Try again soon."
            )
        try:
            yield
        finally:
            self._slots.release()

    def fits(self, password_hash: str | None, password: str) -> bool:
        """Return whether the password is right. Takes the same time without a hash (``None``: no such user).

        Call it in a ``turn``.
        """
        try:
            if password_hash is None:
                if self._nobody is None:
                    self._nobody = run_in_thread(lambda: self._hasher.hash(secrets.token_hex(16)))
                password_hash = self._nobody
                password += "\0"
            if password_hash.startswith(BCRYPT):
                stored, given = password_hash.encode(), password.encode("utf-8", "surrogatepass")
                return run_in_thread(lambda: bcrypt.checkpw(given, stored))
            return run_in_thread(lambda: self._hasher.verify(password_hash, password))
        except (VerificationError, InvalidHashError, ValueError):
            # bcrypt raises ValueError for a password that is too long for it, and for a hash that is none.
            return False


class ImportedSecrets:
    """Verifies API keys and webhook tokens that were imported from Dagu. A bcrypt hash takes a quarter of a second.

    A secret that fits is remembered by its SHA-256, so only its first use in each gateway is slow. Thread-safe.
    """

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords
        self._fitting: dict[tuple[str, str], None] = {}

    def known(self, stored: str, secret: str) -> bool:
        """Return whether ``secret`` was found to have the bcrypt hash ``stored``. Takes no time."""
        return (stored, secret_hash(secret)) in self._fitting

    def fits(self, stored: str, secret: str) -> bool:
        """Return whether ``secret`` has the bcrypt hash ``stored``, and remember it if so. Call it in a ``turn``."""
        if not self._passwords.fits(stored, secret):
            return False
        if len(self._fitting) >= _MOST_FITTING:
            self._fitting = {}
        self._fitting[stored, secret_hash(secret)] = None
        return True
