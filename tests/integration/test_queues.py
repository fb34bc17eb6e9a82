"""Admission of runs on both deployments: order, limits, pauses, and four schedulers at once."""

import threading
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select, update

from services.scheduler.assembly import Assembly
from services.scheduler.commands.carry_out import carry_out
from services.scheduler.commands.queues import apply_configured_queues
from shared.contracts import commands as c
from shared.contracts.codec import decode, encode
from shared.errors import RowsLocked
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.reads.reader import Reads
from shared.store.writes.bulk import Rows
from shared.store.writes.transaction import Store
from tests.harness.commands import named
from tests.harness.eventually import PATIENCE_S
from tests.integration.scheduler_stack import Stack
from tests.integration.stepped_rig import SteppedRig

STEPS = "steps:\n  - echo hi\n"


class Rig(SteppedRig):
    def enqueue(self, *ids: str, dag: str = "a", **facts: Any) -> None:
        replies = self.ask(*[c.EnqueueRun(file_name=dag, dag_run_id=run_id, **facts) for run_id in ids])
        assert {reply.outcome for reply in replies} == {"recorded"}

    def running(self) -> list[str]:
        return sorted(row["dag_run_id"] for row in self.stack.rows(t.dag_runs, status="running"))

    def end(self, *ids: str) -> None:
        these = t.dag_runs.c.dag_run_id.in_(ids or self.running())
        with self.stack.engine.begin() as connection:
            connection.execute(update(t.dag_runs).where(these).values(status="succeeded", finished_at=self.now))

    def drain(self, queue: str) -> list[str]:
        """Admit and end runs one after the other; return the order of admission."""
        order = []
        while self.parts.admission.admit(queue):
            order += self.running()
            self.end()
        return order


@pytest.fixture
def rig(stack: Stack) -> Rig:
    made = Rig(stack)
    made.ask(c.CreateDag(file_name="a", spec=STEPS))
    return made


def test_only_queues_with_queued_runs_are_admitted_to(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, admitted = threading.Event(), []
    admission = rig.parts.admission

    def admit(queue: str) -> int:
        admitted.append(queue)
        stop.set()
        return 0

    rig.enqueue("r1")
    monkeypatch.setattr(admission, "admit", admit)
    admission.notify(["0-idle", "a", "idle"])
    admission.run(stop)

    assert admitted == ["a"]


def test_runs_queued_in_one_batch_keep_their_order(rig: Rig) -> None:
    ids = [f"r{number:02}" for number in range(20)]
    rig.enqueue(*ids)

    assert rig.drain("a") == ids


def test_high_goes_before_low_but_nothing_waits_for_ever(rig: Rig) -> None:
    rig.enqueue("old")
    rig.now += timedelta(minutes=9)
    rig.enqueue("low")
    rig.now += timedelta(minutes=2)
    rig.enqueue("high1", "high2", priority="high")

    assert rig.drain("a") == ["old", "high1", "high2", "low"]


def test_a_global_queues_limit_can_be_changed_while_it_is_full(rig: Rig) -> None:
    rig.ask(c.SetQueue(name="q", max_concurrency=2))
    rig.enqueue("r1", "r2", "r3", "r4", "r5", queue="q")
    assert rig.parts.admission.admit("q") == 2
    assert rig.parts.admission.admit("q") == 0

    rig.ask(c.SetQueue(name="q", max_concurrency=4))
    assert rig.parts.admission.admit("q") == 2
    rig.ask(c.SetQueue(name="q", max_concurrency=1))
    rig.end("r1", "r2")
    assert rig.parts.admission.admit("q") == 0
    assert rig.running() == ["r3", "r4"]
    assert rig.ask(c.RemoveQueue(name="q"))[0].outcome == "recorded"
    assert rig.ask(c.RemoveQueue(name="q"))[0].error is not None


def test_a_configured_limit_yields_to_the_api_until_the_configuration_changes(rig: Rig) -> None:
    def configure(**queues: int) -> int | None:
        with Store(rig.stack.engine).begin() as tx:
            apply_configured_queues(tx, queues, rig.now)
        rows = rig.stack.rows(t.queues, name="q")
        limit: int | None = rows[0]["max_concurrency"]
        return limit

    assert configure(q=2) == 2
    rig.ask(c.SetQueue(name="q", max_concurrency=7))
    assert configure(q=2) == 7
    assert configure(q=3) == 3
    assert configure() is None
    assert rig.stack.rows(t.queues, name="q")[0]["kind"] == "dag-based"


@pytest.mark.parametrize(("scope", "name"), [("global", ""), ("queue", "a"), ("dag", "a")])
def test_a_pause_admits_nothing_until_it_ends(rig: Rig, scope: Any, name: str) -> None:
    rig.enqueue("r1", "r2")
    rig.parts.admission.admit("a")
    rig.ask(c.SetPause(scope=scope, name=name, by="ann", reason="upgrade"))
    reads = Reads(rig.stack.engine)

    [pause] = reads.pauses(rig.now)
    assert (pause.scope, pause.in_flight, pause.paused_by, pause.reason) == (scope, 1, "ann", "upgrade")
    rig.end()
    assert rig.parts.admission.admit("a") == 0
    assert reads.pauses(rig.now)[0].in_flight == 0

    rig.ask(c.EndPause(scope=scope, name=name))
    assert rig.parts.admission.admit("a") == 1
    assert reads.pauses(rig.now) == ()
    assert rig.ask(c.EndPause(scope=scope, name=name))[0].error is not None


def test_runs_that_no_worker_may_take_let_others_pass(rig: Rig) -> None:
    rig.ask(
        c.CreateDag(file_name="gpu", spec="queue: q\nworkerSelector: {gpu: 'true'}\n" + STEPS),
        c.SetQueue(name="q", max_concurrency=1),
    )
    rig.enqueue("needs", dag="gpu")
    rig.enqueue("plain", queue="q")

    assert rig.parts.admission.admit("q") == 1
    assert rig.running() == ["plain"]
    rig.end()
    assert rig.parts.admission.admit("q") == 0
    beat = {"incarnation": "i", "host": "h", "version": "0", "slots": 1, "busy": 0, "state": "live"}
    times = {"started_at": rig.now, "heartbeat_at": rig.now, "lease_until": rig.now + timedelta(seconds=10)}
    with Store(rig.stack.engine).begin() as tx:
        tx.write(Rows(t.workers, [{"worker_id": "w", "labels": {"gpu": "true", "x": "y"}, **beat, **times}]))
    assert rig.parts.admission.admit("q") == 1


def test_a_run_held_until_a_moment_lets_others_pass(rig: Rig) -> None:
    rig.enqueue("later", "now")
    [row] = rig.stack.rows(t.dag_runs, dag_run_id="later")
    with rig.stack.engine.begin() as connection:
        held = {"run_key": row["run_key"], "wait_s": 0, "not_before": rig.now + timedelta(minutes=5)}
        connection.execute(t.run_holds.insert(), [held])

    assert rig.drain("a") == ["now"]
    rig.now += timedelta(minutes=5)
    assert rig.drain("a") == ["later"]


def test_four_schedulers_never_exceed_a_limit_and_lose_nothing(rig: Rig) -> None:
    """Four schedulers admit from the same queues while runs end. The log of transitions proves the limits."""
    queues = {f"q{limit}": limit for limit in range(1, 6)}
    rig.ask(*[c.SetQueue(name=name, max_concurrency=limit) for name, limit in queues.items()])
    for name in queues:
        rig.enqueue(*[f"{name}-{number:03}" for number in range(40)], queue=name)
    over: list[tuple[str, int]] = []
    done = threading.Event()

    def admit_all(parts: Assembly) -> None:
        while not done.wait(0.01):  # without a pause they would mostly look in vain
            for name in queues:
                with suppress(RowsLocked):  # as the loop does: on a busy machine the others may take long
                    parts.admission.admit(name)

    def end_some() -> None:
        runs = t.dag_runs.c
        while not done.is_set():
            with suppress(RowsLocked), rig.store.begin() as tx:
                rows = tx.connection.execute(select(runs.run_key, runs.queue).where(runs.status == "running")).all()
                counts = Counter(row.queue for row in rows)
                over.extend((name, count) for name, count in counts.items() if count > queues[name])
                keys = [row.run_key for row in rows]
                tx.connection.execute(
                    update(t.dag_runs)
                    .where(runs.run_key.in_(keys))
                    .values(status="succeeded", version=runs.version + 1)
                )
                if not rows and not tx.queues.busy():
                    done.set()

    schedulers = [rig.another() for _ in range(4)]
    threads = [threading.Thread(target=admit_all, args=(one,)) for one in schedulers]
    threads.append(threading.Thread(target=end_some))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert done.is_set()
    assert over == []
    rows = rig.stack.rows(t.transitions, became="running", node=None)
    assert Counter(row["run_key"] for row in rows).most_common(1)[0][1] == 1
    assert len(rows) == 200
    runs = {row["run_key"]: row for row in rig.stack.rows(t.dag_runs)}
    # Within a queue the order of admission is the order of queueing: by transaction, as no two overlap.
    for name in queues:
        mine = [row for row in rows if runs[row["run_key"]]["queue"] == name]
        places: dict[int, list[str]] = {}
        for row in mine:
            places.setdefault(row["txid"], []).append(runs[row["run_key"]]["dag_run_id"])
        batches = sorted(places.values(), key=min)
        flat = [run_id for batch in batches for run_id in sorted(batch)]
        assert flat == sorted(flat)


def test_a_run_of_a_spec_that_is_stored_nowhere_has_a_priority_too(rig: Rig) -> None:
    spec = "name: inline\nqueue: a\n" + STEPS
    rig.enqueue("low")
    rig.now += timedelta(minutes=1)
    replies = rig.ask(
        c.StartInline(spec=spec, dag_run_id="also-low", queued=True),
        c.StartInline(spec=spec, dag_run_id="high", queued=True, priority="high"),
    )
    assert [reply.outcome for reply in replies] == ["recorded", "recorded"]

    assert rig.drain("a") == ["high", "low", "also-low"]


@pytest.mark.parametrize(
    "deployment", ["distributed"], indirect=True
)  # with one writer at a time nothing comes between
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_high_run_queued_together_with_a_low_one_goes_first_whenever_admission_runs(rig: Rig, after: int) -> None:
    """The runs are committed between two queries of one admission."""
    rig.ask(c.SetQueue(name="q", max_concurrency=1))
    other = rig.another().transactor
    commands = [
        c.EnqueueRun(file_name="a", dag_run_id="low", queue="q"),
        c.EnqueueRun(file_name="a", dag_run_id="high", queue="q", priority="high"),
    ]
    late = [decode(encode(named(command), id=new_run_id(), at=rig.now)) for command in commands]
    asked: list[str] = []

    @event.listens_for(rig.stack.engine, "after_cursor_execute")
    def meanwhile(*facts: Any) -> None:
        asked.extend(statement for statement in facts[2:3] if "run_holds" in statement)
        if len(asked) == after and late:
            envelopes = late.copy()
            late.clear()
            other.decide(lambda batch: carry_out(batch, envelopes))

    rig.parts.admission.admit("q")
    rig.parts.admission.admit("q")

    assert late == []
    assert rig.running() == ["high"]
