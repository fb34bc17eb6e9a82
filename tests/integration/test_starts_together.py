"""Commands that one transaction records, on both deployments."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.deciding import plans
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.memory import SchedulerMemory
from services.scheduler.deciding.plans import Plans
from services.scheduler.loops.intakes import commands_intake
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode, encode
from shared.language.load import LoadResult, load
from shared.store import tables as t
from shared.store.engine import is_postgres
from shared.store.writes.transaction import Store, Transaction
from shared.transport.base import COMMANDS, Consumer, Delivery, Outgoing
from tests.harness.commands import named
from tests.harness.eventually import eventually
from tests.integration.scheduler_stack import Stack

ONE = "steps:\n  - echo hi\n"


def test_starts_in_one_batch_have_their_own_outcomes(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    known, taken, new = (c.StartRun(file_name="one", dag_run_id=run_id) for run_id in ("r1", "r1", "r2"))
    transactor = Assembly(
        Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")
    ).transactor

    def ask(**commands: c.Command) -> list[c.CommandReply]:
        envelopes = [decode(encode(named(command), id=key, at=utc_now())) for key, command in commands.items()]
        return transactor.decide(lambda batch: carry_out(batch, envelopes))

    first = ask(known=known)
    later = ask(new=new, known=known, taken=taken, none=c.StartRun(file_name="none", dag_run_id="r3"))

    assert later[1] == first[0]
    assert [reply.error.code if reply.error else "" for reply in later] == ["", "", "already_exists", "not_found"]
    assert sorted(row["dag_run_id"] for row in stack.rows(t.dag_runs)) == ["r1", "r2"]
    assert {row["command_id"] for row in stack.rows(t.inbox)} >= {"known", "taken", "new", "none"}


SINGLE: dict[str, list[c.StartRun] | list[c.EnqueueRun] | list[c.StartInline]] = {
    "start": [c.StartRun(file_name="one", dag_run_id=f"r{number}", singleton=True) for number in range(3)],
    "enqueue": [c.EnqueueRun(file_name="one", dag_run_id=f"r{number}", singleton=True) for number in range(3)],
    "inline": [c.StartInline(dag_name="one", dag_run_id=f"r{n}", spec=ONE, singleton=True) for n in range(3)],
}


@pytest.mark.parametrize("kind", SINGLE)
def test_of_singletons_in_one_batch_one_starts(stack: Stack, kind: str) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.stop_schedulers()
    transactor = Assembly(
        Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")
    ).transactor
    batch = [decode(encode(named(each), id=f"k{number}", at=utc_now())) for number, each in enumerate(SINGLE[kind])]

    replies = transactor.decide(lambda it: carry_out(it, batch))

    assert [reply.outcome for reply in replies] == ["recorded", "refused", "refused"]
    assert [row["dag_run_id"] for row in stack.rows(t.dag_runs)] == ["r0"]


def test_of_singletons_that_two_schedulers_start_one_starts(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.stop_schedulers()
    one, two = (
        Assembly(Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")).transactor
        for _ in range(2)
    )
    asked = SINGLE["start"][0], SINGLE["enqueue"][1]
    first, second = (decode(encode(named(each), id=each.dag_run_id, at=utc_now())) for each in asked)
    replies: list[c.CommandReply] = []
    other = Thread(target=lambda: replies.extend(two.decide(lambda batch: carry_out(batch, [second]))))

    def start_beside(batch: Batch) -> list[c.CommandReply]:
        done = carry_out(batch, [first])
        other.start()
        # SQLite has one writer at a time.
        eventually(lambda: bool(replies) or not is_postgres(stack.engine) or waits_for_lock(stack))
        return done

    replies_of_first = one.decide(start_beside)
    other.join(60)

    assert [reply.outcome for reply in replies_of_first + replies] == ["recorded", "refused"]
    assert [row["dag_run_id"] for row in stack.rows(t.dag_runs)] == ["r0"]


def waits_for_lock(stack: Stack) -> bool:
    with stack.engine.connect() as connection:
        return bool(connection.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted")).first())


class AllAtOnce:
    """A consumer that waits for ``count`` deliveries and returns them together."""

    connected_for_s = 0.0

    def __init__(self, inner: Consumer, count: int, stop: Event) -> None:
        self._inner, self._count, self._stop = inner, count, stop

    def take(self, limit: int, timeout_s: float) -> Sequence[Delivery]:
        found: list[Delivery] = []

        def complete() -> bool:
            found.extend(self._inner.take(limit - len(found), timeout_s))
            return len(found) == self._count

        eventually(complete)
        self._stop.set()
        return found

    def close(self) -> None:
        self._inner.close()


def test_waiting_commands_share_one_transaction(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.stop_schedulers()
    transactor = Assembly(
        Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")
    ).transactor
    ids = [f"r{number}" for number in range(17)]
    for key in ids:
        start = encode(named(c.StartRun(file_name="one", dag_run_id=key)), id=key, at=utc_now())
        stack.transport.send(Outgoing(COMMANDS, start, key)).result(60)
    stop = Event()
    consumer = AllAtOnce(stack.transport.consume([COMMANDS], prefetch=50), len(ids), stop)

    commands_intake(transactor, cast("Consumer", consumer)).run(stop)

    recorded = [row for row in stack.rows(t.inbox) if row["command_id"] in ids]
    assert len(recorded) == len(ids)
    assert len({row["at"] for row in recorded}) == 1


def test_specs_are_parsed_before_the_transaction(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.stop_schedulers()
    transactor = Assembly(
        Store(stack.engine), stack.transport, SchedulerMemory(Plans()), utc_now, ZoneInfo("UTC")
    ).transactor
    specs = [f"steps: [echo {word}]" for word in ("two", "changed", "again", "inline")]
    asked: list[c.Command] = [
        c.CreateDag(file_name="two", spec=specs[0]),
        c.PutSpec(file_name="one", spec=specs[1]),
        c.ReplaceSpec(file_name="one", spec=specs[2], expected=("*",)),
        c.StartInline(dag_name="three", dag_run_id="r", spec=specs[3]),
    ]
    for number, command in enumerate(asked):
        stack.transport.send(Outgoing(COMMANDS, encode(named(command), id=f"p{number}", at=utc_now()), "x")).result(60)
    open_now: list[Store] = []
    parsed: list[tuple[str, bool]] = []
    begin = Store.begin

    @contextmanager
    def watched(store: Store, *args: Any, **kwargs: Any) -> Iterator[Transaction]:
        with begin(store, *args, **kwargs) as tx:
            open_now.append(store)
            yield tx
            open_now.pop()

    def parse(text: str, **names: Any) -> LoadResult:
        parsed.append((text, bool(open_now)))
        return load(text, **names)

    monkeypatch.setattr(Store, "begin", watched)
    monkeypatch.setattr(plans, "load", parse)
    stop = Event()
    consumer = AllAtOnce(stack.transport.consume([COMMANDS], prefetch=50), len(asked), stop)
    commands_intake(transactor, cast("Consumer", consumer)).run(stop)

    assert [row["outcome"] for row in stack.rows(t.inbox) if row["command_id"].startswith("p")] == ["recorded"] * 4
    assert {text for text, _ in parsed} >= set(specs[:3])
    assert [text for text, in_transaction in parsed if in_transaction] == []
