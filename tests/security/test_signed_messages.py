"""Whoever can reach the broker, but has no key, forges nothing: real queues of a running system."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.base import MESSAGE_TYPES
from shared.contracts.codec import encode
from shared.contracts.control import StopAttempt
from shared.contracts.events import AttemptFinished, Event, Heartbeat, LogChunk
from shared.contracts.signing import COMMAND_LIFETIME, Keyring, Purpose
from shared.contracts.signing_keys import SharedKey
from shared.ids import new_token
from shared.language.load import load
from shared.store import tables as t
from shared.transport.base import (
    COMMANDS,
    EVENTS,
    HEARTBEATS,
    LOGS,
    DeadLetter,
    DeadLetterDecision,
    Outgoing,
    task_queue,
    worker_queue,
)
from shared.transport.open import open_transport
from shared.transport.signature_scopes import queue_scope, topic_scope
from tests.harness.cluster import Cluster, running
from tests.harness.commands import named
from tests.harness.eventually import eventually, free_port
from tests.harness.message_examples import example_of
from tests.harness.needs import need
from tests.harness.procs import refused
from tests.harness.signing import POOL_KEYS, signed_as, signing_settings
from tests.security.attacked_system import (
    AttackedSystem,
    Recorder,
    Refusals,
    forgeries,
    kind_of,
    queues_of,
    topics_of,
)

T = TypeVar("T")
FORGED = "forged"
"""Is in every forged message, so that its traces can be found."""


@pytest.fixture(scope="module")
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AttackedSystem]:
    need("rabbitmq")
    need("postgres")
    folder = tmp_path_factory.mktemp("signed")
    servers = running(request.getfixturevalue("_rabbit"), request.getfixturevalue("_postgres"))
    cluster = Cluster(folder, *servers)
    cluster.gateways[0].env["DAGWAY_METRICS_PORT"] = str(free_port())
    with cluster:
        system = AttackedSystem(cluster, folder)
        yield system
        system.close()


def test_forged_messages_of_every_type_are_refused_and_counted(
    system: AttackedSystem, record_property: Callable[[str, object], None]
) -> None:
    victim = system.hold("victim")
    _make_the_gateway_listen(system)
    facts = _harmful_facts(victim, system.folder / FORGED)
    before, expected, ids = system.refusals(), Refusals(), set[str]()
    outcomes_before = len(system.cluster.rows(t.inbox))

    for name, declared in sorted(MESSAGE_TYPES.items()):
        message = example_of(declared, facts)
        for queue in queues_of(declared):
            message_id = f"{FORGED}-{name}-{new_token()[:8]}"
            body = encode(message, id=message_id, at=utc_now())
            for why, forgery in forgeries(queue_scope(queue, message_id), body):
                system.send(queue, forgery, message_id)
                expected[kind_of(queue.name), str(why)] += 1
                ids.add(message_id)
        for topic in topics_of(declared):
            body = encode(message, id=FORGED, at=utc_now())
            for why, forgery in forgeries(topic_scope(topic), body):
                system.intruder.broadcast(topic, forgery)
                expected["control", str(why)] += len(system.cluster.workers) if topic == "workers" else 1

    system.until_refused(expected, before)
    record_property("forged messages, all refused", expected.total())
    assert expected.total() > 4 * len(MESSAGE_TYPES)
    assert len(system.cluster.rows(t.inbox)) == outcomes_before, "a forged command was carried out"
    _assert_no_trace(system)
    # Commands, tasks and reports became dead letters; sent again, they are refused again.
    kept = _by_kind(expected) - Counter({"control": expected.total(), "heartbeats": expected.total()})
    eventually(lambda: _dead(system, ids) == kept)
    before, returned = system.refusals(), set[str]()

    def return_once(letter: DeadLetter) -> DeadLetterDecision:
        if letter.id not in ids or letter.fingerprint in returned:
            return DeadLetterDecision.KEEP
        returned.add(letter.fingerprint)
        return DeadLetterDecision.RETURN

    def all_are_returned() -> None:
        # While a scheduler reads the dead letters, these are not in the queue.
        system.intruder.settle_dead_letters(return_once, 10_000)
        assert len(returned) == kept.total()

    def all_are_refused() -> None:
        assert _by_kind(system.refusals() - before) == kept

    eventually(all_are_returned, every_s=0.5)
    eventually(all_are_refused)  # all: the next test counts from here
    _assert_no_trace(system)
    system.release("victim")
    said = "".join(process.output() for process in system.cluster.processes)
    assert "message.refused" in said
    assert said.count("message.refused") < expected.total() / 2, "the log is not bounded"
    assert str(system.folder / FORGED) not in said, "a body is in the log"


def test_a_key_of_one_pool_reports_for_its_own_workers_only(system: AttackedSystem) -> None:
    victim, before = system.hold("other-pool"), system.refusals()
    gpu = signed_as(
        "worker",
        open_transport(system.cluster.amqp_url, name="intruder-gpu"),
        DAGWAY_REPORT_KEYS=POOL_KEYS["gpu"],
        DAGWAY_WORKER_POOL="gpu",
        DAGWAY_WORKER_ID="gpu-1",
    )
    facts = _harmful_facts(victim, system.folder / FORGED)
    reports = [each for each in MESSAGE_TYPES.values() if issubclass(each, Event | Heartbeat)]

    sent = Counter[tuple[str, str]]()
    addressed = [(queue, one) for one in reports for queue in queues_of(one)]
    for queue, report in addressed:
        message_id = new_token()
        body = encode(example_of(report, facts), id=message_id, at=utc_now())
        gpu.send(Outgoing(queue, body, message_id)).result(60)
        sent[kind_of(queue.name), "foreign_worker"] += 1

    system.until_refused(sent, before)
    assert sent["events", "foreign_worker"] == 2 * (len(reports) - 1)
    # The worker's first heartbeat may be recorded after its first step.
    assert eventually(lambda: _only(system.cluster.rows(t.workers, worker_id="w1")))["state"] != "stopped"
    system.release("other-pool")
    gpu.close()


def test_replayed_commands_and_reports_have_no_second_effect(system: AttackedSystem) -> None:
    system.client.create("once", f"steps:\n  - echo once >> {system.folder}/once\n")
    gateway, worker = Recorder(system, "api"), Recorder(system, "worker")
    start = named(c.StartRun(by="ada", file_name="once", dag_run_id="r1"))
    gateway.send(COMMANDS, start, "start-1")
    system.client.until("succeeded", "once")
    (run,) = system.cluster.rows(t.dag_runs, dag_name="once")
    (attempt,) = system.cluster.rows(t.attempts, run_key=run["run_key"])
    facts = {**attempt, "outcome": "failed", "data": b"replayed"}
    held = system.hold("beating")
    beat = {"worker_id": "w9", "incarnation": "i9", "slots": 1, "tokens": (), "host": FORGED}
    worker.send(EVENTS, example_of(AttemptFinished, facts), "finished-1")
    worker.send(LOGS, example_of(LogChunk, {**facts, "seq": 7, "stream": "stdout"}), "log-1")
    worker.send(HEARTBEATS, example_of(Heartbeat, beat), "beat-1")
    eventually(lambda: _only(system.cluster.rows(t.workers, worker_id="w9")))
    before = system.refusals()

    replayed_from = utc_now()
    for recorder in (gateway, worker):
        recorder.replay(times=3)

    system.until_refused(Counter({("heartbeats", "replayed"): 3}), before)
    # A later command and a later report are recorded after the replays, which came before them on the same queues.
    gateway.send(COMMANDS, named(c.StopRun(by="ada", dag_name="beating", dag_run_id="r1")), "stop-1")
    system.client.until("aborted", "beating")
    assert held["token"]
    assert [row["command_id"] for row in system.cluster.rows(t.inbox)].count("start-1") == 1
    assert [row["status"] for row in system.cluster.rows(t.dag_runs, dag_name="once")] == ["succeeded"]
    assert (system.folder / "once").read_text() == "once\n"
    chunks = [row for row in system.cluster.rows(t.log_chunks, run_key=run["run_key"]) if row["seq"] == 7]
    assert len(chunks) == 1
    # A scheduler hears each heartbeat on two queues, so the lease may have been recorded twice before the replays.
    heard_at = _only(system.cluster.rows(t.workers, worker_id="w9"))["heartbeat_at"]
    assert heard_at < replayed_from, "a replay has renewed the lease"


def test_a_command_is_refused_when_its_outcome_may_be_forgotten(system: AttackedSystem) -> None:
    system.client.insist("POST", "/dags", {"name": "stale", "spec": "steps:\n  - 'true'\n"}, key="create-stale")
    command = encode(c.StartRun(by="ada", file_name="stale", dag_run_id="r1"), id="stale-1", at=utc_now())
    key = SharedKey("1", b"c" * 48)
    before = system.refusals()

    old = Keyring({Purpose.COMMAND: key}, {}).sign(
        queue_scope(COMMANDS, "stale-1"), command, utc_now() - COMMAND_LIFETIME - timedelta(seconds=1)
    )
    system.send(COMMANDS, old, "stale-1")

    system.until_refused(Counter({("commands", "expired"): 1}), before)
    eventually(lambda: "expired" in system.dead_letters().get("stale-1", ""))
    assert system.cluster.rows(t.dag_runs, dag_name="stale") == []


def test_a_replayed_task_and_stop_have_no_second_effect(system: AttackedSystem) -> None:
    """The task is taken from its broker queue before any worker can, and then sent four times."""
    selector, marker = {"late": "true"}, system.folder / "late"
    system.client.create("late", f"workerSelector:\n  late: 'true'\nsteps:\n  - echo once >> {marker}\n")
    queue = task_queue(selector)
    system.intruder.declare([queue])
    consumer = system.intruder.consume([queue], prefetch=1)
    system.client.start("late")
    task = eventually(lambda: _only(consumer.take(1, 1)))
    body, message_id = task.body, task.message_id
    task.ack()
    consumer.close()
    for _ in range(4):
        system.send(queue, body, message_id)
    late = system.cluster.worker("w-late", DAGWAY_WORKER_LABELS="late=true")
    system.cluster.workers.append(late)

    system.cluster.start(late)

    system.client.until("succeeded", "late")
    eventually(lambda: late.output().count("task.dropped") == 3)
    assert marker.read_text() == "once\n"
    # The same task on another worker's queue is refused: the signature is valid for its own queue only.
    before = system.refusals()
    system.send(worker_queue("w1"), body, message_id)
    system.until_refused(Counter({("tasks", "bad_signature"): 1}), before)
    stop = encode(StopAttempt(token=_token_of(system, "late")), id="stop", at=utc_now())
    signed_as("scheduler", system.intruder).broadcast("worker.w-late", stop)
    signed_as("scheduler", system.intruder).broadcast("worker.w-late", stop)
    assert [row["status"] for row in system.cluster.rows(t.dag_runs, dag_name="late")] == ["succeeded"]


@pytest.mark.parametrize("service", ["api", "scheduler", "worker"])
def test_a_service_refuses_to_start_without_keys(tmp_path: Path, service: str) -> None:
    settings = {"DAGWAY_AMQP_URL": "amqp://127.0.0.1:1/", **dict.fromkeys(signing_settings(service), "")}
    if service != "worker":
        settings["DAGWAY_DATABASE_URL"] = "postgresql://x@127.0.0.1:1/x"

    assert "DAGWAY_MESSAGE_SIGNING=off" in refused(tmp_path, service, **settings)


def _make_the_gateway_listen(system: AttackedSystem) -> None:
    system.client.create("quick", "steps:\n  - 'true'\n")
    assert system.client.ask("POST", "/dags/quick/start?wait=60s", {"dagRunId": "r1"}).status == 200


def _only(found: Sequence[T]) -> T:
    assert len(found) == 1, found
    return found[0]


def _token_of(system: AttackedSystem, dag: str) -> str:
    (run,) = system.cluster.rows(t.dag_runs, dag_name=dag)
    (attempt,) = system.cluster.rows(t.attempts, run_key=run["run_key"])
    return str(attempt["token"])


def _harmful_facts(victim: dict[str, Any], marker: Path) -> dict[str, Any]:
    """Return values that do harm if a message with them is acted on."""
    step = load(f"steps:\n  - name: s\n    command: touch {marker}\n", file_name="x").documents[0].steps[0]
    return {
        "token": victim["token"],
        "run_key": victim["run_key"],
        "node": victim["idx"],
        "worker_id": "w1",
        "incarnation": victim["token_incarnation"],
        "outcome": "succeeded",
        "data": FORGED.encode(),
        "stopped": True,
        "step": step,
        "dag_name": "victim",
        "file_name": "victim",
        "dag_run_id": "r1",
        "username": FORGED,
        "role": "admin",
        "spec": f"steps:\n  - touch {marker}\n",
        "by": FORGED,
    }


def _by_kind(refusals: Refusals) -> Counter[str]:
    found: Counter[str] = Counter()
    for (kind, _why), count in refusals.items():
        found[kind] += count
    return found


def _dead(system: AttackedSystem, ids: Collection[str]) -> Counter[str]:
    """Count the dead letters with these ids by kind of queue."""
    letters = [letter for letter in system.intruder.dead_letters(10_000) if letter.id in ids]
    # The broker keeps no reason for the messages that workers reject.
    assert {kind_of(one.queue) for one in letters if "signature refused" not in one.reason} <= {"tasks"}
    return Counter(kind_of(letter.queue) for letter in letters)


def _assert_no_trace(system: AttackedSystem) -> None:
    """Check that no forged message has changed anything."""
    rows = system.cluster.rows
    assert [row["username"] for row in rows(t.users)] == []
    assert [row["status"] for row in rows(t.dag_runs, dag_name="victim", dag_run_id="r1")] == ["running"]
    assert not [row for row in rows(t.transitions) if row["by"] == FORGED]
    assert not [row for row in rows(t.log_chunks) if FORGED.encode() in bytes(row["data"])]
    # On a busy machine it may count as lost. The forged heartbeats say that it has stopped.
    assert "stopped" not in [row["state"] for row in rows(t.workers, worker_id="w1")]
    assert not [row for row in rows(t.specs) if f"touch {system.folder / FORGED}" in row["yaml"]]
    assert not [row for row in rows(t.queues) + rows(t.pools) if row["name"] == "x"]
    assert not (system.folder / FORGED).exists()
