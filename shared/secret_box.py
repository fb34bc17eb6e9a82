"""Encrypt the values of stored secrets: the gateway seals, a worker opens, and nobody between them can read (ADR 48).

AES-GCM with a key of 256 bits that HKDF derives from the setting. The name of the secret is associated data, so that a
sealed value cannot be passed off as that of another secret. A sealed value is the text ``KEY:DATA``: the id of the key,
and the nonce and the ciphertext in URL-safe base64.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.contracts.signing_keys import SharedKey
from shared.errors import InvalidInput

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["MOST_IN_A_TASK", "TOO_MUCH", "CannotOpenSecret", "SecretBox", "key_of"]

MOST_IN_A_TASK = 1 << 20
"""How many characters the sealed values of one task may have together: far fewer than the broker's largest message."""
TOO_MUCH = ""
"""Stands in for each sealed value of a task whose values have more."""
_PURPOSE = b"dagway stored secret v1"
_NONCE_BYTES = 12
_SETTING = "DAGWAY_SECRET_KEYS"


class CannotOpenSecret(InvalidInput):
    """The value of a stored secret cannot be opened here. The text names the setting, and no value."""


class SecretBox:
    """The keys of stored secrets: the first one seals, all of them open. Thread-safe."""

    def __init__(self, keys: Sequence[SharedKey] = ()) -> None:
        self._first = keys[0] if keys else None
        self._keys = {key.id: key for key in keys}

    def __bool__(self) -> bool:
        """Whether there is a key."""
        return self._first is not None

    @property
    def key_id(self) -> str:
        """The id of the key that seals; empty without a key."""
        return "" if self._first is None else self._first.id

    def seal(self, name: str, value: str, *, request: str | None = None) -> str:
        """Return the value of the secret ``name``, sealed. There must be a key.

        The same value of the same ``request`` gives the same text, so that a repeated request is recognised.
        """
        key = self._first
        assert key is not None  # noqa: S101 - the caller has asked
        data = value.encode()
        # Each nonce is for one plaintext only: drawn, or a keyed hash of all that is sealed with it.
        salt = secrets.token_bytes(16) if request is None else request.encode()
        nonce = hmac.digest(_derived(key, b"nonce"), b"\0".join((salt, name.encode(), data)), "sha256")[:_NONCE_BYTES]
        sealed = nonce + _cipher(key).encrypt(nonce, data, _bound_to(key, name))
        return f"{key.id}:{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, name: str, sealed: str) -> str:
        """Return the value of the secret ``name``.

        Raises:
            CannotOpenSecret: the key is unknown or another one of that id, or the text is not of this secret.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415

        key_id, _, text = sealed.partition(":")
        key = self._keys.get(key_id)
        if key is None:
            raise CannotOpenSecret(f"sealed with the key {key_id[:80]!r}, which is not in {_SETTING} here")
        try:
            data = base64.b64decode(text, altchars=b"-_", validate=True)
            return _cipher(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], _bound_to(key, name)).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise CannotOpenSecret(
                f"{_SETTING} of the gateway has another key {key_id!r}, or the stored value was changed"
            ) from None


def key_of(sealed: str) -> str:
    """Return the id of the key that a value is sealed with."""
    return sealed.partition(":")[0]


@lru_cache(maxsize=32)
def _cipher(key: SharedKey) -> "AESGCM":
    # Imported here, because it takes 40 ms and few processes need it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(_derived(key, b"cipher"))


@lru_cache(maxsize=64)
def _derived(key: SharedKey, use: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return HKDF(SHA256(), 32, salt=None, info=_PURPOSE + b"\0" + use).derive(key.secret)


def _bound_to(key: SharedKey, name: str) -> bytes:
    return b"\0".join((_PURPOSE, key.id.encode(), name.encode()))
