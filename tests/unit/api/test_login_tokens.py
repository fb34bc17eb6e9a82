"""Login tokens of gateways whose clocks differ."""

from datetime import timedelta

import pytest

from services.api.auth.login_tokens import LoginTokens
from shared.clock import utc_now

LIVES = timedelta(days=1)


@pytest.mark.parametrize("ahead", [timedelta(seconds=2), timedelta(hours=1)])
def test_a_login_at_a_gateway_whose_clock_is_ahead_is_valid_at_the_others(ahead: timedelta) -> None:
    tokens = LoginTokens(["k" * 40], LIVES)
    text, ends = tokens.issue(utc_now() + ahead, user_id="u1", username="ada", role="viewer")

    found = tokens.read(text, utc_now())

    assert found is not None
    assert (found.username, found.expires_at) == ("ada", ends.replace(microsecond=0))
    assert tokens.signed(text)


def test_a_login_ends_although_it_was_made_by_a_clock_that_is_behind() -> None:
    tokens = LoginTokens(["k" * 40], LIVES)
    text, _ = tokens.issue(utc_now() - LIVES - timedelta(seconds=2), user_id="u1", username="ada", role="viewer")

    assert tokens.read(text, utc_now()) is None
