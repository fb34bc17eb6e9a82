"""All errors that Dagway raises on purpose.

    DagwayError
    ├── InvalidInput      the caller's mistake; a retry fails  DecodeFailed, SignatureRefused, ConfigInvalid,
    │                                                        MessageTooLarge
    ├── NotFound          nothing has that name
    ├── Conflict          the current state forbids it         AlreadyExists, StaleVersion
    ├── Unavailable       temporary; a retry may succeed       BrokerUnavailable, Unroutable, StoreUnavailable
    └── InvariantBroken   a bug; no handler may hide it

``code`` is the REST API's error code; only the gateway maps it to an HTTP status.
"""

from enum import StrEnum
from typing import ClassVar

__all__ = [
    "AlreadyExists",
    "BrokerUnavailable",
    "ConfigInvalid",
    "Conflict",
    "DagwayError",
    "DecodeFailed",
    "InvalidInput",
    "InvariantBroken",
    "MessageTooLarge",
    "NotFound",
    "PublishUnconfirmed",
    "Refusal",
    "RowsLocked",
    "SignatureRefused",
    "StaleVersion",
    "StoreUnavailable",
    "Unavailable",
    "Unroutable",
]


class DagwayError(Exception):
    """Base of all errors of Dagway. ``retryable``: whether the same call may succeed later."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False


class InvalidInput(DagwayError):
    """The input can never be accepted."""

    code = "bad_request"


class DecodeFailed(InvalidInput):
    """A message cannot be decoded. It becomes a dead letter, and the text of this error is the reason."""


class Refusal(StrEnum):
    """Why a signature is refused. The values are those of the label ``why``."""

    UNSIGNED = "unsigned"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    WRONG_PURPOSE = "wrong_purpose"
    EXPIRED = "expired"
    REPLAYED = "replayed"
    FOREIGN_WORKER = "foreign_worker"


class SignatureRefused(DecodeFailed):
    """A message does not prove who sent it, so it is not decoded. ``why`` tells which rule it breaks."""

    def __init__(self, why: Refusal, text: str) -> None:
        super().__init__(f"signature refused ({why}): {text}")
        self.why = why


class ConfigInvalid(InvalidInput):
    """A setting is missing or invalid. Raised only while a process starts."""


class MessageTooLarge(InvalidInput):
    """The broker takes no message of this size, so it was not sent."""


class NotFound(DagwayError):
    """Nothing has the given name or id."""

    code = "not_found"


class Conflict(DagwayError):
    """The current state does not allow the change."""

    code = "bad_request"


class AlreadyExists(Conflict):
    """The name or id is taken."""

    code = "already_exists"


class StaleVersion(Conflict):
    """The run was changed after it was read: read it again and decide again."""

    retryable = True


class Unavailable(DagwayError):
    """The broker or the database cannot be used now. The same call may succeed later."""

    code = "service_unavailable"
    retryable = True


class BrokerUnavailable(Unavailable):
    """The broker cannot be reached or blocks publishers. It did not accept the message."""


class PublishUnconfirmed(BrokerUnavailable):
    """The broker sent no confirm or a negative one. It may or may not have accepted the message."""


class Unroutable(Unavailable):
    """The broker queue does not exist, so the broker returned the message."""


class StoreUnavailable(Unavailable):
    """The database cannot be reached, or failed for a temporary reason (deadlock, time limit)."""


class RowsLocked(StoreUnavailable):
    """Another transaction held the lock of a row for too long. The database works: other rows can be written."""


class InvariantBroken(DagwayError):
    """An invariant of the program does not hold: a bug in Dagway."""
