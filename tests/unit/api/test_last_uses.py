"""The last use of a credential is recorded seldom, and no request waits for it or fails because of it."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.api.auth.last_uses import EVERY, LastUses
from shared.errors import BrokerUnavailable
from tests.harness.eventually import eventually

START = datetime(2026, 11, 27, tzinfo=UTC)


class Commands:
    """Notes what is sent. Each message waits for ``accepts``."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.accepts = threading.Event()
        self.away = False

    def send(self, command: Any) -> None:
        if self.away:
            raise BrokerUnavailable("away")
        self.sent.append(f"{command.kind} {command.id}")

    def wait_for_confirm(self, _sent: None) -> None:
        self.accepts.wait(60)


@pytest.fixture
def commands() -> Commands:
    return Commands()


class Clock:
    now = START

    def __call__(self) -> datetime:
        return self.now


def test_a_use_is_recorded_once_a_minute_and_nobody_waits(commands: Commands) -> None:
    clock = Clock()
    uses = LastUses(commands, clock)  # type: ignore[arg-type]
    uses.note("api_key", "a", None)
    # The broker has not confirmed the first one yet.
    eventually(lambda: commands.sent == ["api_key a"])
    uses.note("api_key", "a", None)
    uses.note("webhook", "b", None)
    # Another gateway recorded a use of this one.
    uses.note("api_key", "c", START - EVERY / 2)
    clock.now += EVERY
    uses.note("api_key", "a", None)
    commands.accepts.set()

    eventually(lambda: sorted(commands.sent) == ["api_key a", "api_key a", "webhook b"])


def test_a_use_while_the_broker_is_away_is_lost_and_the_next_is_recorded(commands: Commands) -> None:
    clock = Clock()
    commands.away = True
    commands.accepts.set()
    uses = LastUses(commands, clock)  # type: ignore[arg-type]
    uses.note("api_key", "a", None)
    eventually(lambda: not uses.waiting)
    commands.away = False
    clock.now += timedelta(minutes=2)
    uses.note("api_key", "a", None)

    eventually(lambda: commands.sent == ["api_key a"])


def test_after_an_error_nobody_expected_later_uses_are_sent(
    commands: Commands, caplog: pytest.LogCaptureFixture
) -> None:
    uses = LastUses(commands, Clock())  # type: ignore[arg-type]
    commands.accepts = None  # type: ignore[assignment]
    uses.note("api_key", "a", None)
    eventually(lambda: "thread.died" in [record.message for record in caplog.records])
    commands.accepts = threading.Event()
    commands.accepts.set()

    def sent() -> bool:
        # The thread may not have ended yet.
        uses.note("api_key", f"b{len(commands.sent)}", None)
        return "api_key b1" in commands.sent

    eventually(sent)
