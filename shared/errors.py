"""All errors that Dagway raises on purpose.

    DagwayError
    ├── InvalidInput      the caller's fault, final            SpecInvalid, DecodeFailed, ConfigInvalid
    ├── NotFound          nothing by that name
    ├── Conflict          the state forbids it                 AlreadyExists, StaleVersion
    ├── Denied            no credentials, or not enough
    ├── Unavailable       temporary: hold and retry            BrokerUnavailable, Unroutable, StoreUnavailable
    └── InvariantBroken   a bug: no handler swallows it

``code`` is the REST API's error code (contract section 1.1); only the gateway maps it to an HTTP status.
"""

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
    "NotFound",
    "PublishUnconfirmed",
    "StaleVersion",
    "StoreUnavailable",
    "Unavailable",
    "Unroutable",
]


class DagwayError(Exception):
    """Base of all; ``retryable``: whether trying the same again can help."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False


class InvalidInput(DagwayError):
    """The input can never be accepted."""

    code = "bad_request"


class DecodeFailed(InvalidInput):
    """A message cannot be decoded; it becomes a dead letter with this text."""


class ConfigInvalid(InvalidInput):
    """A setting is missing or invalid. Raised at start only."""


class NotFound(DagwayError):
    """There is nothing by that name."""

    code = "not_found"


class Conflict(DagwayError):
    """The current state does not allow the change."""

    code = "bad_request"


class AlreadyExists(Conflict):
    """The name or id is taken."""

    code = "already_exists"


class StaleVersion(Conflict):
    """The run was changed since it was read: reload and decide again."""

    retryable = True


class Unavailable(DagwayError):
    """A server is away; the same call may succeed later."""

    code = "service_unavailable"
    retryable = True


class BrokerUnavailable(Unavailable):
    """The broker is away or blocks publishers; nothing was accepted."""


class PublishUnconfirmed(BrokerUnavailable):
    """The connection broke before the confirm: the message may or may not have been accepted."""


class Unroutable(Unavailable):
    """The queue of a message does not exist; the broker returned the message."""


class StoreUnavailable(Unavailable):
    """The database is away, or failed for a temporary reason (deadlock, lock timeout)."""


class InvariantBroken(DagwayError):
    """An invariant does not hold: a bug in this program."""
