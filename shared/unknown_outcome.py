"""When nobody knows whether a write is carried out: the gateway says so, and its clients go by the same rule.

A client that sends such a write again, with its ``Idempotency-Key``, learns the outcome or does no harm. One that gives
up says ``IN_DOUBT``, even if the last answer was a plain refusal: what that says is about the last try only.
"""

from collections.abc import Mapping

from shared.foreign_json import read_json

__all__ = ["IN_DOUBT", "UNAVAILABLE", "UNKNOWN", "may_be_stored"]

UNKNOWN: Mapping[str, str] = {"outcome": "unknown"}
"""The details of a 503 after which the request may have been carried out."""
UNAVAILABLE = frozenset({502, 503, 504})
"""Statuses after which the same request may succeed."""
IN_DOUBT = "it is not known whether the server has stored this request: look before you repeat it"
_BY_PROXY = frozenset({502, 504})
"""Statuses of a proxy that did not get the whole answer."""


def may_be_stored(status: int, body: bytes) -> bool:
    """Return whether a write that was answered with one of the statuses ``UNAVAILABLE`` may be carried out."""
    if status in _BY_PROXY:
        return True
    try:
        return bool(read_json(body)["details"] == UNKNOWN)
    except (ValueError, KeyError, TypeError):
        return False
