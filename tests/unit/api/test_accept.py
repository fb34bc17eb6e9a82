from concurrent.futures import Future
from datetime import UTC, datetime

import pytest

from services.api.accept import Accepted, Recorded, Sent, command_key, run_id_for
from services.api.problems import Problem
from shared.contracts.codec import encode
from shared.contracts.commands import CommandReply, RefusedError, StopRun
from shared.errors import BrokerUnavailable, PublishUnconfirmed, Unroutable
from shared.ids import valid_run_id

AT = datetime(2025, 11, 24, tzinfo=UTC)
STOP = StopRun(dag_name="a", dag_run_id="r")


def reply(outcome: str = "recorded") -> bytes:
    error = RefusedError(code="not_running", message="no") if outcome == "refused" else None
    message = CommandReply.model_validate({"command_id": "c", "outcome": outcome, "result": {"x": 1}, "error": error})
    return encode(message, id="c", at=AT)


def outcome(
    *, confirm: Exception | str | None = None, answer: bytes | Exception | None = None
) -> tuple[Recorded | Accepted, "Future[bytes]"]:
    """Return what a command became; ``confirm="never"``: the broker keeps silent."""
    accepted: Future[None] = Future()
    answered: Future[bytes] = Future()
    if isinstance(confirm, Exception):
        accepted.set_exception(confirm)
    elif confirm is None:
        accepted.set_result(None)
    if isinstance(answer, Exception):
        answered.set_exception(answer)
    elif answer is not None:
        answered.set_result(answer)
    sent = Sent(STOP, "c", (accepted, answered))
    return sent.outcome(accept_timeout_s=0.01, reply_timeout_s=0.01), answered


def test_an_answer_is_the_outcome() -> None:
    found, _ = outcome(answer=reply())

    assert found == Recorded("c", {"x": 1})


def test_a_refusal_is_raised_with_its_code() -> None:
    with pytest.raises(Problem, match="400 not_running"):
        outcome(answer=reply("refused"))


@pytest.mark.parametrize("answer", [None, BrokerUnavailable("the connection broke")])
def test_confirmed_but_unanswered_is_accepted(answer: Exception | None) -> None:
    found, answered = outcome(answer=answer)

    assert found == Accepted("c")
    assert answered.done(), "nobody waits for it any more"


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), Unroutable("no queue"), PublishUnconfirmed("broke")])
def test_what_was_not_accepted_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        outcome(confirm=error)


def test_no_confirm_in_time_is_an_unknown_outcome() -> None:
    with pytest.raises(PublishUnconfirmed):
        outcome(confirm="never")


def test_an_answer_that_overtook_the_confirm_counts() -> None:
    found, _ = outcome(confirm="never", answer=reply())

    assert found == Recorded("c", {"x": 1})


def test_a_run_id_follows_from_the_key_and_is_new_without_one() -> None:
    assert run_id_for("k") == run_id_for("k") != run_id_for("l")
    assert run_id_for(None) != run_id_for(None)
    assert valid_run_id(run_id_for("k"))


def test_no_key_is_no_key() -> None:
    assert command_key(None) is None
    assert command_key("") is None
    assert command_key("a:b-1") == "a:b-1"
