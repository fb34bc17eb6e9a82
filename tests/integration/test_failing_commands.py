"""A command that makes a scheduler fail, on both deployments: here a number that neither database can store."""

import logging

import pytest

from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode_as, encode
from shared.transport.base import COMMANDS, Outgoing
from shared.transport.pending_reply import PendingReply
from tests.harness.commands import named
from tests.harness.eventually import PATIENCE_S, eventually
from tests.integration.scheduler_stack import Stack

BAD = c.CreateWorkspace(name="bad", max_log_bytes=2**70)


def send(stack: Stack, command: c.Command, command_id: str) -> PendingReply:
    body = encode(named(command), id=command_id, at=utc_now())
    return stack.transport.request(Outgoing(COMMANDS, body, command_id))


def answer(asked: PendingReply) -> c.CommandReply:
    return decode_as(asked.reply(PATIENCE_S), c.CommandReply)


def test_a_failing_command_is_answered_and_stops_no_other(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    stack.transport.declare([COMMANDS])
    good = [send(stack, c.SetQueue(name=f"q{number}", max_concurrency=1), f"before-{number}") for number in range(5)]
    bad = [send(stack, BAD, f"bad-{number}") for number in range(3)]
    good += [send(stack, c.SetQueue(name=f"r{number}", max_concurrency=1), f"after-{number}") for number in range(5)]

    with caplog.at_level(logging.ERROR, "services.scheduler.loops.intake"):
        stack.scheduler()
        replies = [answer(each) for each in bad]
        assert {answer(each).outcome for each in good} == {"recorded"}

    errors = [reply.error for reply in replies]
    assert {(error.code, "dead letter" in error.message) for error in errors if error} == {("internal_error", True)}
    assert len(errors) == 3
    failed = [record.message for record in caplog.records if record.message == "delivery.failed"]
    assert len(failed) == 6, "each is tried alone twice"
    letters = eventually(lambda: _some(stack, 3))
    assert {reason.partition(":")[0] for reason in letters} == {"failed twice"}


def _some(stack: Stack, count: int) -> list[str]:
    reasons = [letter.reason for letter in stack.transport.dead_letters(10)]
    assert len(reasons) == count
    return reasons
