"""The keys that sign messages, and how settings write them: ``ID=VALUE``, separated by commas or spaces.

The first key of a setting signs and all of them verify, so that keys can be replaced one after the other.
"""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

__all__ = [
    "PrivateKey",
    "PublicKey",
    "SharedKey",
    "SigningKey",
    "VerifyingKey",
    "private_keys",
    "public_keys",
    "report_keys",
    "shared_keys",
]

K = TypeVar("K")
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_REPORT_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,50}/[A-Za-z0-9_.-]{1,32}")
_SECRET = re.compile(r"[\x21-\x7e]{32,512}")
_HEX_32_BYTES = re.compile(r"[0-9a-fA-F]{64}")


class SigningKey(Protocol):
    """A key that can sign."""

    @property
    def id(self) -> str: ...

    def sign(self, data: bytes) -> bytes:
        """Return the signature of ``data``."""


class VerifyingKey(Protocol):
    """A key that can verify."""

    @property
    def id(self) -> str: ...

    def verifies(self, data: bytes, signature: bytes) -> bool:
        """Whether ``signature`` is that of ``data``. Takes the same time for every wrong signature of one length."""


@dataclass(frozen=True)
class SharedKey:
    """A key of HMAC-SHA256: who can verify can also sign."""

    id: str
    secret: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        return hmac.digest(self.secret, data, "sha256")

    def verifies(self, data: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(self.sign(data), signature)


@dataclass(frozen=True)
class PrivateKey:
    """The signing half of an Ed25519 key. ``seed`` has 32 bytes (RFC 8032, section 5.1.5)."""

    id: str
    seed: bytes = field(repr=False)

    @cached_property
    def _key(self) -> "Ed25519PrivateKey":
        # Imported here, because gateways and `dagway up` do without: it takes 40 ms.
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

        return Ed25519PrivateKey.from_private_bytes(self.seed)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    @property
    def public(self) -> "PublicKey":
        """The verifying half."""
        return PublicKey(self.id, self._key.public_key().public_bytes_raw())


@dataclass(frozen=True)
class PublicKey:
    """The verifying half of an Ed25519 key: 32 bytes, which are not secret."""

    id: str
    point: bytes

    @cached_property
    def _key(self) -> "Ed25519PublicKey":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        return Ed25519PublicKey.from_public_bytes(self.point)

    def verifies(self, data: bytes, signature: bytes) -> bool:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        try:
            self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True


def shared_keys(text: str) -> tuple[SharedKey, ...]:
    """Return keys whose values are secrets of 32 to 512 printable characters. Raises ``ValueError``."""
    return _read(text, _KEY_ID, _shared)


def report_keys(text: str) -> tuple[SharedKey, ...]:
    """Like ``shared_keys``, but each id begins with the name of a worker pool: ``POOL/ID=VALUE``."""
    return _read(text, _REPORT_KEY_ID, _shared)


def private_keys(text: str) -> tuple[PrivateKey, ...]:
    """Return Ed25519 keys whose values are seeds of 64 hexadecimal digits. Raises ``ValueError``."""
    return _read(text, _KEY_ID, lambda key_id, value: PrivateKey(key_id, _32_bytes(value)))


def public_keys(text: str) -> tuple[PublicKey, ...]:
    """Return Ed25519 public keys, each of 64 hexadecimal digits. Raises ``ValueError``."""
    return _read(text, _KEY_ID, lambda key_id, value: PublicKey(key_id, _32_bytes(value)))


def _shared(key_id: str, value: str) -> SharedKey:
    if not _SECRET.fullmatch(value):
        raise ValueError("expected a secret of 32 to 512 printable characters")
    return SharedKey(key_id, value.encode())


def _32_bytes(value: str) -> bytes:
    if not _HEX_32_BYTES.fullmatch(value):
        raise ValueError("expected 64 hexadecimal digits")
    return bytes.fromhex(value)


def _read(text: str, pattern: re.Pattern[str], make: Callable[[str, str], K]) -> tuple[K, ...]:
    # The errors name a key by its place or id only: they are logged, and the rest of the text is secret.
    found: dict[str, K] = {}
    for number, item in enumerate(filter(None, re.split(r"[,\s]+", text)), start=1):
        key_id, mark, value = item.partition("=")
        if not mark or not pattern.fullmatch(key_id):
            form = "POOL/ID=VALUE" if pattern is _REPORT_KEY_ID else "ID=VALUE"
            raise ValueError(f"key {number} is not {form}, with letters, digits or _ . - in each name")
        if key_id in found:
            raise ValueError(f"two keys have the id {key_id!r}")
        try:
            found[key_id] = make(key_id, value)
        except ValueError as error:
            raise ValueError(f"key {key_id!r}: {error}") from None
    if not found:
        raise ValueError("contains no key")
    return tuple(found.values())
