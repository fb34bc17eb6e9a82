"""Reports that are signed with a stolen key and have values that no database, name or calculation takes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.scheduler.liveness.heartbeat_records import HeartbeatRecords
from shared.contracts.codec import decode, encode
from shared.contracts.events import AttemptFinished, AttemptRequested, AttemptStarted, Heartbeat, LogChunk
from shared.errors import DecodeFailed
from shared.ids import new_run_id
from shared.store import tables as t
from shared.transport.base import EVENTS, HEARTBEATS, BrokerQueue, Outgoing
from shared.transport.open import open_transport
from tests.harness.eventually import eventually
from tests.harness.message_examples import example_of
from tests.harness.scripted_worker import ScriptedWorker
from tests.integration.scheduler_stack import Stack

_AFTER_UTC, _BEFORE_UTC, _NO_ZONE = "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00", "2026-01-01T00:00:00"
_HEARTBEATS: dict[str, list[Any]] = {
    "slots": [2**31, 2**70, -1],
    "host": ["h" * 256],
    "version": ["v" * 65],
    "incarnation": ["i" * 65],
    "worker_id": ["w" * 201, "\N{GRINNING FACE}" * 90, "w\n", ""],
    "started_at": [_AFTER_UTC, _BEFORE_UTC, _NO_ZONE],
    "at": [_AFTER_UTC, _BEFORE_UTC, _NO_ZONE],
    "labels": [{f"l{number}": "" for number in range(102)}, {"l": "v" * 64}, {"l" * 64: ""}],
    "executors": [["e"] * 201, ["e" * 65]],
    "settings": [{"s" * 1001: ["", ""]}, {"s": ["v" * 1001, ""]}, {f"s{number}": ["", ""] for number in range(501)}],
}
_EVENTS: dict[str, list[Any]] = {
    "node": [-99, 2**31],
    "token": ["t" * 65],
    "run_key": ["k" * 37],
    "worker_id": ["w" * 201],
    "incarnation": ["i" * 65],
    "at": [_AFTER_UTC, _BEFORE_UTC, _NO_ZONE],
}
_CHUNKS: dict[str, list[Any]] = {"seq": [2**31, -1], "offset": [2**63, -1], "run_attempt": [-1], "number": [2**31]}
_ENDS: dict[str, list[Any]] = {
    "started_at": [_AFTER_UTC, _NO_ZONE],
    "exit_code": [2**31, -(2**31)],
    "log_bytes": [{"stdout": 2**63}],
    "retry_interval_s": ["NaN", "Infinity"],
    "progress": [{"current": "Infinity", "total": "Infinity"}, {"current": 1, "total": 0}],
    "next_start": [{"token": "t", "at": _NO_ZONE}],
}
_ASKS: dict[str, list[Any]] = {"waited_s": [1e12, -1e12, "NaN"]}
_HIDDEN_NUL = "\\u00\\u000000"
"""No JSON, until the NUL in its middle is removed: then it is one."""
_COMMAND = "steps:\n  - name: s\n    command: echo one\n"
_CALL = "steps:\n  - name: s\n    call: harmless\n"
_PARTLY = "steps:\n  - name: s\n    call: harmless-${DAG}\n"
_EVALUATED = "steps:\n  - name: s\n    call: ${DAG}\n"
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def stack(deployment: tuple[str, str]) -> Iterator[Stack]:
    made = Stack(deployment[0], lambda: open_transport(deployment[1], name="test"))
    yield made
    made.close()


def test_a_heartbeat_that_cannot_be_stored_is_unreadable_and_stops_no_scheduler(stack: Stack) -> None:
    stack.scheduler()
    beat = Heartbeat(worker_id="w9", incarnation="i", host="h", version="0", started_at=_NOW, at=_NOW, slots=1)
    unreadable = _count()
    hostile = list(_with(beat, _HEARTBEATS))

    for body in hostile:
        _send(stack, HEARTBEATS, body)

    stack.worker.beat()
    eventually(lambda: stack.deaths or [row["worker_id"] for row in stack.rows(t.workers)] == ["w1"])
    eventually(lambda: stack.deaths or _count() - unreadable == len(hostile))
    assert stack.deaths == []


def test_a_nul_around_another_is_unreadable_and_stops_no_scheduler(stack: Stack) -> None:
    stack.scheduler()
    beat = Heartbeat(worker_id="w9", incarnation="i", host="HERE", version="0", started_at=_NOW, at=_NOW, slots=1)
    unreadable = _count()

    _send(stack, HEARTBEATS, _changed(beat).replace(b"HERE", _HIDDEN_NUL.encode()))

    stack.worker.beat()
    eventually(lambda: stack.deaths or [row["worker_id"] for row in stack.rows(t.workers)] == ["w1"])
    eventually(lambda: stack.deaths or _count() - unreadable == 1)
    assert stack.deaths == []


def test_a_heartbeat_that_the_database_refuses_costs_no_other(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    as_row = HeartbeatRecords._row

    def refused(records: HeartbeatRecords, beat: Heartbeat, heard_at: datetime) -> dict[str, Any]:
        return as_row(records, beat, heard_at) | ({"slots": 2**70} if beat.worker_id == "w0" else {})

    monkeypatch.setattr(HeartbeatRecords, "_row", refused)
    stack.scheduler()
    hostile = ScriptedWorker(stack.transport, "w0")
    unreadable = _count()

    hostile.beat()
    stack.worker.beat(slots=1)
    eventually(lambda: stack.deaths or _slots(stack) == {"w1": 1})
    eventually(lambda: stack.deaths or _count() - unreadable >= 1)

    hostile.beat()
    stack.worker.beat(slots=2)
    eventually(lambda: stack.deaths or _slots(stack) == {"w1": 2})
    eventually(lambda: stack.deaths or _count() - unreadable >= 2)
    assert stack.deaths == []


def test_a_heartbeat_of_a_former_process_replaces_no_running_one(stack: Stack) -> None:
    """A scheduler that was restarted does not remember what it heard: all that was recorded can be sent again."""
    stack.scheduler()
    stack.dag("d", _COMMAND)
    stack.start("d")
    former = Heartbeat(worker_id="w1", incarnation="former", host="h", version="0", started_at=_NOW, at=_NOW, slots=1)
    stack.worker.start(task := stack.worker.task())
    stack.worker.beat(task.token)
    eventually(lambda: stack.deaths or _slots(stack) == {"w1": 1000})

    for stopped in (False, True):
        _send(stack, HEARTBEATS, _changed(former, stopped=stopped))
        # Heartbeats are recorded in their order.
        _send(stack, HEARTBEATS, _changed(former, worker_id=f"after-{stopped}"))
        eventually(lambda: stack.deaths or f"after-{stopped}" in _slots(stack))  # noqa: B023 - called at once

    [worker] = stack.rows(t.workers, worker_id="w1")
    assert (worker["incarnation"], worker["state"]) == ("first", "live")
    stack.worker.finish(task)
    stack.until("succeeded")
    assert stack.deaths == []


def test_a_heartbeat_makes_a_scheduler_send_few_messages(stack: Stack) -> None:
    stack.scheduler()

    stack.worker.beat(*(f"t{number}" for number in range(3000)))
    eventually(lambda: len(stack.worker.told) >= 500)
    stack.worker.beat("last")

    eventually(lambda: stack.worker.told[-1].token == "last")
    assert len(stack.worker.told) == 501


def test_a_report_about_a_node_that_cannot_be_stops_no_scheduler(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("d", "steps:\n  - echo one\n")
    stack.start("d")
    task = stack.worker.task()
    started = AttemptStarted(
        token=task.token, run_key=task.run_key, node=0, worker_id="w1", incarnation="first", at=_NOW
    )

    for node in (-99, -1, 2**31):
        _send(stack, EVENTS, _changed(started, node=node))

    eventually(lambda: stack.deaths or _dead(stack) == 3)
    assert stack.deaths == []
    stack.worker.run(task)
    stack.until("succeeded")


@pytest.mark.parametrize("env", ["x", "[1]", '[["A", 1]]', '[["A", "\\ud800"]]'])
def test_what_a_worker_prepared_and_nobody_can_read_is_a_dead_letter_at_once(
    stack: Stack, env: str, caplog: pytest.LogCaptureFixture
) -> None:
    stack.scheduler()
    stack.dag("d", "env:\n  - A: '`hostname`'\nsteps:\n  - echo one\n")
    stack.start("d")

    stack.worker.run(stack.worker.task(), outputs={"env": env, "params": "[]"})

    eventually(lambda: _dead(stack) == 1)
    said = {record.message for record in caplog.records}
    assert "delivery.unreadable" in said
    assert "delivery.failed" not in said


@pytest.mark.parametrize(
    ("policy", "retried"),
    [({"retry_interval_s": -1e12}, True), ({"retry_interval_s": 1e300}, True), ({"retry_limit": 10**400}, False)],
    ids=["before all dates", "after all dates", "larger than any float"],
)
def test_no_number_of_a_retry_policy_stops_a_scheduler(stack: Stack, policy: dict[str, Any], retried: bool) -> None:
    stack.scheduler()
    stack.dag("d", "steps:\n  - command: exit 1\n    retryPolicy: {limit: 1, intervalSec: '${WAIT}'}\n")
    stack.start("d")

    stack.worker.run(stack.worker.task(), outcome="failed", exit_code=1, **policy)

    counts = (1, 0) if retried else (0, 1)
    eventually(
        lambda: stack.deaths or [(row["retry_count"], row["done_count"]) for row in stack.rows(t.nodes)] == [counts]
    )
    assert stack.deaths == []


@pytest.mark.parametrize(
    ("spec", "calls", "said"),
    [
        (_COMMAND, ["prod"], "the step calls none"),
        (_CALL, ["prod"], "the step calls 'harmless'"),
        (_PARTLY, ["prod"], "the step calls 'harmless-${DAG}'"),
        (_EVALUATED, ["prod", "prod"], "the step makes one"),
    ],
)
def test_a_worker_starts_no_dag_that_its_step_does_not_call(
    stack: Stack, spec: str, calls: list[str], said: str
) -> None:
    stack.scheduler()
    for name in ("prod", "harmless"):
        stack.dag(name, "workerSelector:\n  pool: prod\nsteps:\n  - deploy\n")
    stack.dag("d", f"params: DAG=prod\n{spec}")
    stack.start("d")

    task = stack.worker.task()
    stack.worker.run(task, children=[{"dag": each, "params": f"N={number}"} for number, each in enumerate(calls)])

    stack.until("failed")
    assert stack.rows(t.dag_runs, dag_name="prod") == []
    [node] = [row for row in stack.rows(t.nodes) if row["name"] == "s"]
    assert said in node["error"]


@pytest.mark.parametrize(
    ("message", "values"),
    [
        (Heartbeat, _HEARTBEATS),
        (AttemptStarted, _EVENTS),
        (AttemptRequested, _EVENTS | _ASKS),
        (LogChunk, _CHUNKS),
        (AttemptFinished, _EVENTS | _ENDS),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_no_report_has_a_value_that_cannot_be_stored(message: Any, values: dict[str, list[Any]]) -> None:
    good = example_of(message, {"worker_id": "w1"})
    assert decode(encode(good, id="i", at=_NOW)).body == good

    for body in _with(good, values):
        with pytest.raises(DecodeFailed):
            decode(body)


def _with(message: Any, values: dict[str, list[Any]]) -> Iterator[bytes]:
    return (_changed(message, **{name: value}) for name, each in values.items() for value in each)


def _changed(message: Any, **facts: Any) -> bytes:
    """Return an envelope with values that the message itself could not be made with."""
    envelope = json.loads(encode(message, id="i", at=_NOW))
    return json.dumps(envelope | {"body": envelope["body"] | facts}).encode()


def _send(stack: Stack, queue: BrokerQueue, body: bytes) -> None:
    stack.transport.send(Outgoing(queue, body, new_run_id())).result(60)


def _slots(stack: Stack) -> dict[str, int]:
    return {row["worker_id"]: row["slots"] for row in stack.rows(t.workers)}


def _count() -> float:
    return REGISTRY.get_sample_value("dagway_heartbeats_unreadable_total") or 0


def _dead(stack: Stack) -> int:
    return len(stack.transport.dead_letters(10))
