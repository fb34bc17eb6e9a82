"""Signatures of webhooks are those of Standard Webhooks, and valid for one body, one id and a few minutes."""

from base64 import b64decode, b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.api.auth.webhook_signatures import (
    TOLERANCE,
    SignedRequest,
    WebhookRefusal,
    shown_secret,
    signing_secret,
    why_refused,
)

SECRET = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
"""The secret, id, time and body that the libraries of Svix and Standard Webhooks are tested with."""
REQUEST = SignedRequest(
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "1614265330",
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    b'{"test": 2432232314}',
)
AT = datetime.fromtimestamp(1614265330, UTC)


def test_a_request_of_another_implementation_is_accepted() -> None:
    assert why_refused(REQUEST, [SECRET], AT) is None


def test_one_right_signature_and_one_right_secret_are_enough() -> None:
    other = f"v1,{b64encode(bytes(32)).decode()}"
    request = replace(REQUEST, signatures=f"{other} v1a,x {REQUEST.signatures}")

    assert why_refused(request, [b"another", SECRET], AT) is None


@pytest.mark.parametrize(
    ("seconds", "why"), [(-300, None), (300, None), (-301, WebhookRefusal.STALE), (301, WebhookRefusal.STALE)]
)
def test_a_signature_is_valid_for_five_minutes(seconds: int, why: WebhookRefusal | None) -> None:
    assert timedelta(minutes=5) == TOLERANCE
    assert why_refused(REQUEST, [SECRET], AT + timedelta(seconds=seconds)) == why


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, body=REQUEST.body + b" "),
        replace(REQUEST, id="msg_other"),
        replace(REQUEST, timestamp="1614265331"),
        replace(REQUEST, timestamp="\u0661614265330"),
        replace(REQUEST, timestamp="9" * 400),
        replace(REQUEST, timestamp=""),
        replace(REQUEST, id=""),
        # The same signed text, split elsewhere.
        replace(REQUEST, id="msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330", timestamp="1"),
        replace(REQUEST, signatures=""),
        replace(REQUEST, signatures="v1,"),
        replace(REQUEST, signatures="v1,ä"),
        replace(REQUEST, signatures="v2" + REQUEST.signatures[2:]),
        replace(REQUEST, signatures=REQUEST.signatures[3:]),
    ],
)
def test_anything_else_is_refused(request_: SignedRequest) -> None:
    assert why_refused(request_, [SECRET], AT) is WebhookRefusal.SIGNATURE
    assert why_refused(REQUEST, [], AT) is WebhookRefusal.SIGNATURE


def test_a_secret_follows_from_the_server_and_the_token() -> None:
    secrets = {signing_secret(server, token) for server in ("a", "b") for token in ("1", "2")}

    assert len(secrets) == 4
    assert shown_secret(SECRET) == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
