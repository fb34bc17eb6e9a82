"""Every error Dagway raises on purpose.

    DagwayError
    ├── InvalidInput      the caller's fault, final            SpecInvalid, DecodeFailed, ConfigInvalid
    ├── NotFound          nothing by that name
    ├── Conflict          the state forbids it                 AlreadyExists, StaleVersion
    ├── Denied            no credentials, or not enough
    ├── Unavailable       passes by itself: hold and retry     BrokerUnavailable, Unroutable, StoreUnavailable
    └── InvariantBroken   a bug: nobody swallows it

``code`` is the REST API's error code (contract section 1.1); which HTTP status it means is decided
at the API's edge alone.
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
    """Base of all; ``retryable`` tells a loop whether trying the same again can help."""

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False


class InvalidInput(DagwayError):
    """The input can never be accepted as it stands."""

    code = "bad_request"


class DecodeFailed(InvalidInput):
    """A message is not what its envelope says; it goes to the dead letters with this text."""


class ConfigInvalid(InvalidInput):
    """The process was configured with something it cannot mean. Raised at start only."""


class NotFound(DagwayError):
    """There is nothing by that name."""

    code = "not_found"


class Conflict(DagwayError):
    """The state it would change forbids it."""

    code = "bad_request"


class AlreadyExists(Conflict):
    """The name or id is taken."""

    code = "already_exists"


class StaleVersion(Conflict):
    """Somebody else changed the run since it was read: reload and decide again."""

    retryable = True


class Unavailable(DagwayError):
    """Something outside is away; the same call may succeed later."""

    code = "service_unavailable"
    retryable = True


class BrokerUnavailable(Unavailable):
    """The broker is away or blocks publishers; nothing was accepted."""


class PublishUnconfirmed(BrokerUnavailable):
    """The connection broke before the confirm: the message may or may not have been accepted."""


class Unroutable(Unavailable):
    """No queue is bound where the message was sent; the broker handed it back."""


class StoreUnavailable(Unavailable):
    """The database is away, or refused for a reason that passes (deadlock, lock timeout)."""


class InvariantBroken(DagwayError):
    """A promise of DESIGN's invariants was found broken: a bug in this program."""
