from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pytest

from services.api.assembly import build_deps
from services.api.command_client import Accepted, Commands, Recorded, SentCommand, command_key, run_id_for
from services.api.problems import Problem
from services.api.settings import Settings
from shared.clock import utc_now
from shared.contracts.codec import decode, encode
from shared.contracts.commands import CommandReply, RefusedError, StopRun
from shared.errors import BrokerUnavailable, DagwayError, PublishUnconfirmed, Unroutable
from shared.ids import valid_run_id
from shared.store.clock import StoreClock
from shared.store.engine import open_engine
from shared.store.reads.reader import Reads
from shared.transport.base import COMMANDS
from shared.transport.open import open_transport
from shared.transport.pending_reply import PendingReply
from tests.harness.databases import migrated_sqlite
from tests.harness.eventually import PATIENCE_S

AT = datetime(2025, 11, 24, tzinfo=UTC)
STOP = StopRun(dag_name="a", dag_run_id="r")


def reply(outcome: str = "recorded") -> bytes:
    error = RefusedError(code="not_running", message="no") if outcome == "refused" else None
    message = CommandReply.model_validate({"command_id": "c", "outcome": outcome, "result": {"x": 1}, "error": error})
    return encode(message, id="c", at=AT)


def outcome(
    *,
    confirm: DagwayError | str | None = None,
    answer: bytes | DagwayError | None = None,
    forget: Callable[[], object] = lambda: None,
) -> Recorded | Accepted:
    """Send a command and return its outcome. With ``confirm="never"`` the broker does not confirm."""
    pending = PendingReply(forget)
    if not isinstance(confirm, str):
        pending.settle(confirm)
    if isinstance(answer, DagwayError):
        pending.fail(answer)
    elif answer is not None:
        pending.answer(answer)
    return SentCommand(STOP, "c", pending).outcome(accept_timeout_s=0.01, reply_timeout_s=0.01)


def test_an_answer_is_the_outcome() -> None:
    assert outcome(answer=reply()) == Recorded("c", {"x": 1})


def test_a_refusal_is_raised_with_its_code() -> None:
    with pytest.raises(Problem, match="400 not_running"):
        outcome(answer=reply("refused"))


@pytest.mark.parametrize("answer", [None, BrokerUnavailable("the connection broke")])
def test_confirmed_but_unanswered_is_accepted(answer: DagwayError | None) -> None:
    forgotten: list[bool] = []

    found = outcome(answer=answer, forget=lambda: forgotten.append(True))

    assert found == Accepted("c")
    assert forgotten, "nobody waits for it any more"


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), Unroutable("no queue"), PublishUnconfirmed("broke")])
def test_a_command_that_the_broker_did_not_accept_raises(error: DagwayError) -> None:
    with pytest.raises(type(error)):
        outcome(confirm=error)


def test_no_confirm_in_time_is_an_unknown_outcome() -> None:
    with pytest.raises(PublishUnconfirmed):
        outcome(confirm="never")


def test_a_reply_before_the_confirm_counts() -> None:
    assert outcome(confirm="never", answer=reply()) == Recorded("c", {"x": 1})


class Unanswered(PendingReply):
    """A confirmed command without a reply. It notes how long its sender waits."""

    def __init__(self, waits: list[float]) -> None:
        super().__init__(lambda: None)
        self.settle(None)
        self.waits = waits

    def reply(self, timeout_s: float) -> bytes:
        self.waits.append(timeout_s)
        raise TimeoutError


def test_of_many_commands_without_a_scheduler_only_the_first_is_waited_for() -> None:
    waits: list[float] = []
    refused, answered = PendingReply(lambda: None), PendingReply(lambda: None)
    refused.answer(reply("refused"))
    answered.answer(reply())
    pending = [refused, *(Unanswered(waits) for _ in range(3)), answered]
    commands = Commands(None, lambda: AT, reply_timeout_s=5)  # type: ignore[arg-type]

    found = commands.wait_for_all(SentCommand(STOP, "c", each) for each in pending)

    assert isinstance(found[0], Problem)
    assert found[1:] == [Accepted("c")] * 3 + [Recorded("c", {"x": 1})]
    assert waits == [5, 0, 0]


def test_a_run_id_follows_from_the_key_and_is_new_without_one() -> None:
    assert run_id_for("k") == run_id_for("k") != run_id_for("l")
    assert run_id_for(None) != run_id_for(None)
    assert valid_run_id(run_id_for("k"))


def test_an_absent_or_empty_key_is_none() -> None:
    assert command_key(None) is None
    assert command_key("") is None
    assert command_key("a:b-1") == "a:b-1"


def test_a_command_has_the_databases_time(tmp_path: Path) -> None:
    transport = open_transport("embedded:", name="gateway")
    transport.declare([COMMANDS])
    engine = open_engine(migrated_sqlite(tmp_path / "store.db"), read_only=True)
    closing, later = Event(), utc_now() + timedelta(hours=1)
    deps = build_deps(transport=transport, reads=Reads(engine), version="0", settings=Settings(), closing=closing)
    assert isinstance(deps.clock, StoreClock)
    deps.clock.measure(lambda: later)

    deps.commands.send(STOP)

    (delivery,) = transport.consume([COMMANDS], prefetch=1).take(1, PATIENCE_S)
    assert decode(delivery.body).at >= later
    closing.set()
    transport.close()
    engine.dispose()
