"""Signs messages, and verifies signatures. Pure: keys and times are arguments.

A signed message is the JSON of an envelope with one more field at its end, so a service that does not verify can
still read it:

    {"v":1,"type":"task",…,"body":{…},"sig":"task;2026-11;1764214490123;<signature>"}

The field contains the purpose, the id of the key, the time of signing in ms since 1970, and the signature in
base64url. The signature covers these, the place of the message, and every other byte of it.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from shared.contracts.signing_keys import SigningKey, VerifyingKey
from shared.errors import Refusal, SignatureRefused

__all__ = ["CLOCK_MARGIN", "COMMAND_LIFETIME", "Keyring", "Proof", "Purpose", "SignatureScope", "by_id", "says_it_is"]


class Purpose(StrEnum):
    """What a signature is for, which includes who signs: a signature for one purpose is refused for every other."""

    COMMAND = "command"
    """From a gateway to the schedulers."""
    REPLY = "reply"
    """From a scheduler to the gateway that sent the command."""
    NOTICE = "notice"
    """From a scheduler to all gateways: ``RunsChanged``."""
    TASK = "task"
    """From a scheduler to workers."""
    CONTROL = "control"
    """From a scheduler to workers: the other control messages."""
    REPORT = "report"
    """From a worker to the schedulers: events and log chunks."""
    HEARTBEAT = "heartbeat"
    """From a worker to the schedulers."""
    MARKER = "marker"
    """From a scheduler to the schedulers, among reports or heartbeats."""

    __hash__ = str.__hash__
    """That of enumerations is Python code, and every signature looks up its key."""


COMMAND_LIFETIME = timedelta(days=7)
"""A command that was signed longer ago is refused: its outcome may be forgotten, so a replay would not be noticed."""
CLOCK_MARGIN = timedelta(days=1)
"""By how much the clocks of two hosts may differ before a replay could go unnoticed."""
_LIFETIMES = {Purpose.COMMAND: COMMAND_LIFETIME, Purpose.HEARTBEAT: timedelta(days=1)}
"""Tasks, events and log chunks have no lifetime, because their attempt token makes a replay harmless."""

_FIELD = b',"sig":"'
_LONGEST = 400
"""More bytes than the field can have."""
_TAIL = re.compile(
    rb',"sig":"(?P<purpose>[a-z]{1,20});(?P<key>[A-Za-z0-9_./-]{1,90});(?P<at>\d{13});(?P<signature>[A-Za-z0-9_-]{43,86})"\}'
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SignatureScope:
    """What a signature is valid for: a purpose, and the place of the message, such as its broker queue and its id."""

    purpose: Purpose
    place: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What a message was signed as, by which key, and when."""

    purpose: Purpose
    key_id: str
    at: datetime


def by_id(keys: Iterable[VerifyingKey]) -> dict[str, VerifyingKey]:
    """Return the keys by id."""
    return {key.id: key for key in keys}


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of one process: at most one that signs for each purpose, and any number that verify."""

    signers: Mapping[Purpose, SigningKey]
    verifiers: Mapping[Purpose, Mapping[str, VerifyingKey]]

    def signs(self, purpose: Purpose) -> bool:
        """Whether this process has a key that signs for ``purpose``."""
        return purpose in self.signers

    def sign(self, scope: SignatureScope, message: bytes, at: datetime) -> bytes:
        """Return ``message``, the JSON of an envelope, with a signature. ``signs(scope.purpose)`` must be true."""
        key = self.signers[scope.purpose]
        if message[-1:] != b"}":
            raise ValueError("only a JSON object can be signed")
        ms = b"%013d" % ((at - _EPOCH) // timedelta(milliseconds=1))
        head, rest = b"%b;%b;%b" % (scope.purpose.encode(), key.id.encode(), ms), message[:-1]
        return b'%b%b%b;%b"}' % (rest, _FIELD, head, _text(key.sign(_signed(scope, head, rest))))

    def verify(self, scope: SignatureScope, message: bytes, now: datetime) -> Proof:
        """Return who signed ``message`` for ``scope``.

        Raises:
            SignatureRefused: the message is unsigned, or its signature is not valid for ``scope`` at ``now``.
        """
        start = message.rfind(_FIELD, max(0, len(message) - _LONGEST))
        found = _TAIL.fullmatch(message, start) if start >= 0 else None
        if found is None:
            raise SignatureRefused(Refusal.UNSIGNED, "the message has no signature")
        key_id = found["key"].decode()
        if found["purpose"] != scope.purpose.encode():
            raise SignatureRefused(
                Refusal.WRONG_PURPOSE, f"signed as {found['purpose'].decode()}, but used as {scope.purpose}"
            )
        key = self.verifiers.get(scope.purpose, {}).get(key_id)
        if key is None:
            raise SignatureRefused(Refusal.UNKNOWN_KEY, f"signed with the key {key_id!r}, which this service lacks")
        # The text is compared, because several texts of base64 mean the same bytes.
        signature = _bytes(found["signature"])
        head = message[start + len(_FIELD) : found.start("signature") - 1]
        if _text(signature) != found["signature"] or not key.verifies(_signed(scope, head, message[:start]), signature):
            raise SignatureRefused(Refusal.BAD_SIGNATURE, f"the signature with the key {key_id!r} is wrong")
        at = _EPOCH + timedelta(milliseconds=int(found["at"]))
        lifetime = _LIFETIMES.get(scope.purpose)
        if lifetime is not None and not now - lifetime <= at <= now + CLOCK_MARGIN:
            raise SignatureRefused(Refusal.EXPIRED, f"signed at {at:%Y-%m-%d %H:%M:%S} UTC, not within its lifetime")
        return Proof(scope.purpose, key_id, at)


def says_it_is(purpose: Purpose, message: bytes) -> bool:
    """Whether the signature of ``message`` names ``purpose``. It is not verified."""
    start = message.rfind(_FIELD, max(0, len(message) - _LONGEST))
    return start >= 0 and message.startswith(f"{purpose};".encode(), start + len(_FIELD))


def _signed(scope: SignatureScope, head: bytes, rest: bytes) -> bytes:
    """Return the bytes to sign. The length of the place makes them different for different messages."""
    place = scope.place.encode()
    return b"dagway-1;%d;%b;%b;%b" % (len(place), place, head, rest)


def _text(signature: bytes) -> bytes:
    return urlsafe_b64encode(signature).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    try:
        return urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    except ValueError:
        return b""
