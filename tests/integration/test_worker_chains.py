"""A worker goes on along a chain: it begins the next step itself, once the broker has confirmed its report."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from services.worker.attempt import chains, freshness
from shared.clock import utc_now
from shared.contracts.attempt_tokens import token_in_chain
from shared.contracts.codec import decode
from shared.contracts.control import StopAttempt
from shared.contracts.events import AttemptFinished, AttemptGivenUp, AttemptStarted
from shared.contracts.tasks import FollowingStep, StepRef, Task
from shared.errors import BrokerUnavailable
from shared.language.model import Dag, Output, Param
from shared.transport.base import EVENTS, Outgoing
from shared.transport.embedded.transport import EmbeddedTransport
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.worker_rig import Rig, command, task

FIRST = "run:1:0:salt"


def chain(*commands: str, **facts: Any) -> Task:
    """Return the task of the first of these commands; the others follow it in a chain."""
    first, *rest = (command(text).model_copy(update={"name": f"s{n}"}) for n, text in enumerate(commands))
    following = tuple(
        FollowingStep(token=token_in_chain(FIRST, n), node=n, step=step) for n, step in enumerate(rest, start=1)
    )
    return task(first, token=FIRST, number=1, dispatched_at=utc_now(), chain=following, **facts)


@pytest.fixture(autouse=True)
def _however_busy_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain ends after two seconds, and a task is in doubt four seconds after it was sent."""
    monkeypatch.setattr(chains, "GO_ON_S", PATIENCE_S)
    monkeypatch.setattr(freshness, "FRESH_S", PATIENCE_S)


def token(number: int) -> str:
    return token_in_chain(FIRST, number)


def lines(rig: Rig) -> list[str]:
    return rig.work_dir().joinpath("ran").read_text(encoding="utf-8").split()


def test_the_steps_of_a_chain_run_one_after_the_other(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        # Else it asks before it begins, instead of reporting a start.
        eventually(lambda: rig.worker._heartbeats.heard)
        rig.give(chain("echo 0 >> ran; echo zero", "echo 1 >> ran; echo one", "echo 2 >> ran; echo two"))
        last = rig.finished(token(2))

        assert lines(rig) == ["0", "1", "2"]
        ends = [rig.finished(token(number)) for number in range(3)]
        assert [end.outcome for end in ends] == ["succeeded"] * 3
        assert [rig.log(end, "stdout") for end in ends] == [b"zero\n", b"one\n", b"two\n"]
        assert [end.next_start and end.next_start.token for end in ends] == [token(1), token(2), None]
        assert [event.token for event in rig.seen if isinstance(event, AttemptStarted)] == [FIRST]
        assert last.started_at >= ends[1].at
        assert (last.node, last.stdout) == (2, ends[1].next_start.stdout if ends[1].next_start else "")
        eventually(lambda: rig.worker.attempts.tokens() == ())


def test_each_step_of_a_chain_has_the_outputs_of_those_before_it(tmp_path: Path) -> None:
    first = chain("echo one", 'echo "::output SAID=$A two"', 'echo "$A, $SAID, $EARLIER, ${A}" >> ran')
    named = first.step.model_copy(update={"output": Output(name="A")})
    with Rig(tmp_path) as rig:
        rig.give(first.model_copy(update={"step": named, "outputs": (("EARLIER", "zero"), ("A", "none"))}))
        rig.finished(token(2))

        assert rig.work_dir().joinpath("ran").read_text(encoding="utf-8") == "one, one two, zero, one\n"
        assert [rig.finished(token(number)).outputs for number in range(3)] == [{"A": "one"}, {"SAID": "one two"}, {}]
        assert all(rig.finished(token(number)).next_start for number in range(2))


def test_a_step_of_a_chain_may_refer_to_those_before_it(tmp_path: Path) -> None:
    said = "cat ${one.stdout} >> ran; echo ${one.exit_code} ${one.output} $(basename ${one.stderr}) >> ran"
    first = chain("echo one; exit 0", said)
    named = first.step.model_copy(update={"id": "one", "output": Output(name="A")})
    with Rig(tmp_path) as rig:
        rig.give(first.model_copy(update={"step": named, "refs": {"one": StepRef()}}))
        end = rig.finished(FIRST)
        rig.finished(token(1))

        assert end.next_start is not None
        assert lines(rig) == ["one", "0", "one", Path(end.stderr).name]


def test_the_first_step_after_the_preparation_has_what_it_evaluated(tmp_path: Path) -> None:
    dag = Dag(name="d", steps=(), env=(("DAY", "`echo monday`"),), params=(Param(name="WHO", value="ada"),))
    first = chain("", 'echo "$DAY $WHO" >> ran; echo done', 'echo "$DAY again" >> ran')
    options = {"prepare": {"dag": dag.model_dump(mode="json"), "given": "WHO=bob"}}
    with Rig(tmp_path) as rig:
        rig.give(first.model_copy(update={"kind": "prepare", "options": options}))
        rig.finished(token(2))

        assert lines(rig) == ["monday", "bob", "monday", "again"]
        assert rig.finished(FIRST).outputs["env"] == '[["DAY", "monday"]]'


def test_a_handler_at_the_end_of_a_chain_has_its_variables_and_nobody_its_outputs(tmp_path: Path) -> None:
    first = chain("true", 'echo "$DAG_RUN_STATUS $A" >> ran; echo two', 'echo "$DAG_RUN_STATUS $B" >> ran')
    handler, last = first.chain
    facts = {"kind": "handler", "engine_env": (("DAG_RUN_STATUS", "succeeded"),)}
    named = handler.step.model_copy(update={"output": Output(name="B")})
    handlers = (handler.model_copy(update={**facts, "step": named}), last.model_copy(update=facts))
    with Rig(tmp_path) as rig:
        rig.give(first.model_copy(update={"outputs": (("A", "one"),), "chain": handlers}))
        rig.finished(token(2))

        assert lines(rig) == ["succeeded", "one", "succeeded"]
        assert rig.finished(token(1)).outputs == {"B": "two"}


@pytest.mark.parametrize("text", ["false", "exit 3"])
def test_a_chain_ends_with_a_step_that_fails(tmp_path: Path, text: str) -> None:
    with Rig(tmp_path) as rig:
        rig.give(chain(text, "echo 1 >> ran"))
        end = rig.finished(FIRST)

        assert end.next_start is None
        eventually(lambda: rig.worker.attempts.tokens() == ())
        assert not rig.work_dir().joinpath("ran").exists()


def test_a_chain_does_not_keep_its_slot_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "GO_ON_S", 0.0)
    with Rig(tmp_path) as rig:
        rig.give(chain("true", "echo 1 >> ran"))

        assert rig.finished(FIRST).next_start is None


def test_a_stop_ends_the_step_that_runs_and_its_chain(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.give(chain("true", "touch here; sleep 600", "echo 2 >> ran"))
        eventually(rig.work_dir().joinpath("here").exists)
        rig.broadcast("worker.w1", StopAttempt(token=token(1)))
        end = rig.finished(token(1))

        assert (end.outcome, end.next_start) == ("aborted", None)
        assert not rig.work_dir().joinpath("ran").exists()


def test_the_end_of_the_worker_ends_a_chain(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.give(chain("true", "touch here; sleep 600", "echo 2 >> ran"))
        eventually(rig.work_dir().joinpath("here").exists)
        rig.worker.stop()
        end = rig.finished(token(1))

        assert (end.outcome, end.shutdown, end.next_start) == ("broken", True, None)


class Losing(EmbeddedTransport):
    """Takes the report that ``lose`` picks, but confirms it late or never."""

    def __init__(self, lose: Callable[[object], bool], *, arrives: bool) -> None:
        super().__init__(None)
        self._lose, self._arrives = lose, arrives

    def send(self, message: Outgoing) -> "Future[None]":
        if message.queue != EVENTS or not self._lose(decode(message.body).body):
            return super().send(message)
        self._lose = lambda _body: False
        if self._arrives:
            super().send(message).result()
        refused: Future[None] = Future()
        refused.set_exception(BrokerUnavailable("the connection broke"))
        return refused


@pytest.mark.parametrize("arrives", [True, False])
def test_without_a_confirm_the_next_step_is_given_up(tmp_path: Path, arrives: bool) -> None:
    """The report may have arrived. So a scheduler hears that the step that it may hold to be running is not."""
    lose = Losing(lambda body: isinstance(body, AttemptFinished) and body.next_start is not None, arrives=arrives)
    with Rig(tmp_path, transport=lose) as rig:
        rig.give(chain("true", "echo 1 >> ran"))
        eventually(lambda: [event for event in rig.events(token(1)) if isinstance(event, AttemptGivenUp)] or False)

        ends = [event for event in rig.events(FIRST) if isinstance(event, AttemptFinished)]
        assert [end.next_start is not None for end in ends] == ([True, False] if arrives else [False])
        assert rig.seen.index(ends[-1]) < rig.seen.index(rig.events(token(1))[0])
        eventually(lambda: rig.worker.attempts.tokens() == ())
        assert not rig.work_dir().joinpath("ran").exists()


class Late(EmbeddedTransport):
    """Calls ``then`` when it has taken the report that a worker has gone on, before the worker gets the confirm."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__(None)
        self._then = then

    def send(self, message: Outgoing) -> "Future[None]":
        confirm = super().send(message)
        if message.queue == EVENTS:
            body = decode(message.body).body
            if isinstance(body, AttemptFinished) and body.next_start is not None:
                self._then()
        return confirm


def test_after_a_confirm_that_took_long_the_next_step_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scheduler may have sent another task for the step meanwhile."""
    late = Late(lambda: monkeypatch.setattr(freshness, "FRESH_S", 0))
    with Rig(tmp_path, transport=late) as rig:
        rig.give(chain("true", "echo 1 >> ran"))
        eventually(lambda: [event for event in rig.events(token(1)) if isinstance(event, AttemptGivenUp)] or False)

        eventually(lambda: rig.worker.attempts.tokens() == ())
        assert not rig.work_dir().joinpath("ran").exists()


def test_a_step_of_a_chain_has_its_own_timeout(tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        one = chain("true", "sleep 600")
        (following,) = one.chain
        slow = following.model_copy(update={"timeout_s": 0.2})
        rig.give(one.model_copy(update={"chain": (slow,)}))

        assert rig.finished(token(1)).outcome == "timed_out"
