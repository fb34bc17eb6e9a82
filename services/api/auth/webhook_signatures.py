"""Signatures of webhook requests, as Standard Webhooks defines them (https://www.standardwebhooks.com). Pure.

A sender that signs does not send the webhook's token. The headers are ``webhook-id``, ``webhook-timestamp`` (seconds
since 1970) and ``webhook-signature``: ``v1,`` and the HMAC-SHA256 of ``ID.TIMESTAMP.BODY`` in base64. While the sender
changes its secret there are several, separated by spaces.

The secret of a webhook is derived from a secret of the server and the hash of the webhook's token, so a copy of the
database is not enough to sign, and a new token means a new secret.
"""

import binascii
import hmac
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

__all__ = ["TOLERANCE", "SignedRequest", "WebhookRefusal", "shown_secret", "signing_secret", "why_refused"]

TOLERANCE = timedelta(minutes=5)
"""How far a timestamp may be from now, in both directions, as Standard Webhooks recommends."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
"""Without dots, so that the text that is signed can be split in one way only."""
_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_MOST_SIGNATURES = 10


class WebhookRefusal(StrEnum):
    """Why a request to a webhook is refused. The values are in a metric."""

    TOKEN = "token"
    """It has no valid token, and no signature."""
    SIGNATURE = "signature"
    """The signature is malformed or wrong."""
    STALE = "stale"
    """It was signed too long ago, or in the future."""
    REPLAYED = "replayed"
    """The same request was accepted before."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """The headers and the body of a request, as they were sent."""

    id: str
    timestamp: str
    signatures: str
    body: bytes


def signing_secret(server_secret: str, token_hash: str) -> bytes:
    """Return the secret with which requests to the webhook with this token are signed."""
    return hmac.digest(server_secret.encode(), f"webhook signature\0{token_hash}".encode(), "sha256")


def shown_secret(secret: bytes) -> str:
    """Return a secret in the form that the libraries of Standard Webhooks take."""
    return f"whsec_{b64encode(secret).decode()}"


def why_refused(request: SignedRequest, secrets: Iterable[bytes], now: datetime) -> WebhookRefusal | None:
    """Return why the signature is refused; ``None`` if one of ``secrets`` made it within ``TOLERANCE`` of ``now``."""
    if not _ID.fullmatch(request.id) or not _TIMESTAMP.fullmatch(request.timestamp):
        return WebhookRefusal.SIGNATURE
    content = b"%b.%b.%b" % (request.id.encode(), request.timestamp.encode(), request.body)
    given = [_bytes(each) for each in request.signatures.split(" ")[:_MOST_SIGNATURES]]
    expected = [hmac.digest(secret, content, "sha256") for secret in secrets]
    if not any(hmac.compare_digest(one, other) for one in given for other in expected):
        return WebhookRefusal.SIGNATURE
    distance_s = abs(now.astimezone(UTC).timestamp() - int(request.timestamp))
    return WebhookRefusal.STALE if distance_s > TOLERANCE.total_seconds() else None


def _bytes(signature: str) -> bytes:
    version, _, text = signature.partition(",")
    if version != "v1":
        return b""
    try:
        return b64decode(text.encode("ascii", "replace"), validate=True)
    except binascii.Error:
        return b""
