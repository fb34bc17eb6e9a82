"""Concurrent logins: a failed guess counts before the next one is verified; a right password is never called wrong."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.api.auth.tokens import Passwords
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import BUILTIN, Live, open_live
from tests.harness.eventually import PATIENCE_S


@pytest.fixture(scope="module")
def live(deployment: Deployment) -> Iterator[Live]:
    with open_live(deployment, BUILTIN) as opened:
        yield opened


def test_guesses_that_are_sent_together_are_as_few_as_those_that_are_not(live: Live) -> None:
    gateway, together = live.app_with(BUILTIN), 30
    # With the default of 10 s, a busy machine answers some of them by 503.
    gateway.deps.auth.passwords = passwords = Passwords(wait_s=PATIENCE_S)
    sent = threading.Barrier(together + 1)
    app = gateway.client.application

    def guess(number: int) -> int:
        body = {"username": "admin", "password": f"guess-{number}"}
        sent.wait()
        return (
            app.test_client()
            .post("/api/v2/auth/login", json=body, environ_base={"REMOTE_ADDR": gateway.address})
            .status_code
        )

    with ThreadPoolExecutor(together) as pool:
        with passwords.turn(), passwords.turn():
            statuses = [pool.submit(guess, number) for number in range(together)]
            sent.wait()
        verified = [each.result() for each in statuses].count(401)

    # The tenth failure begins the wait. Two passwords are verified at a time, so another one may be under way then.
    assert verified in {10, 11}


def test_a_right_password_is_not_called_wrong_while_too_many_are_verified(live: Live) -> None:
    gateway = live.app_with(BUILTIN)
    auth, right = gateway.deps.auth, {"username": "admin", "password": "adminadmin"}
    auth.passwords = Passwords(wait_s=0.001)
    with auth.passwords.turn(), auth.passwords.turn():
        for _ in range(11):
            assert gateway.refused("POST", "/auth/login", right) == (503, "service_unavailable")

    assert gateway.post("/auth/login", right)["token"]
