"""One scheduler with a worker that the test scripts, on both deployments."""

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.scheduler.loops.housekeeping import Housekeeping
from shared.clock import utc_now
from shared.contracts import commands as c
from shared.contracts.codec import decode, encode
from shared.contracts.control import TaskQueueOpened
from shared.ids import new_run_id
from shared.store import tables as t
from shared.store.writes.bulk import Rows
from shared.store.writes.transaction import Store
from shared.transport.base import COMMANDS, HEARTBEATS, BrokerQueue, Durability, Outgoing
from tests.conformance.transport_moves import only_letter
from tests.harness.commands import named
from tests.harness.eventually import PATIENCE_S, eventually
from tests.harness.scripted_worker import ScriptedWorker
from tests.integration.scheduler_stack import Stack

ONE = "steps:\n  - echo hi\n"
CHAIN = """
steps:
  - name: first
    command: echo 42
    output: ANSWER
  - name: second
    command: echo ${ANSWER}
"""


def test_a_started_run_is_recorded_and_dispatched_and_ends(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)

    begun = stack.start("one").result
    task = stack.worker.task()
    stack.worker.run(task)

    row = stack.until("succeeded")
    assert begun == {"dagRunId": "r1", "begun": {"runKey": row["run_key"], "dagName": "one"}}
    assert stack.nodes() == {"cmd_1": "succeeded"}
    assert row["started_at"] <= row["finished_at"]
    assert [attempt["token"] for attempt in stack.rows(t.attempts)] == [task.token]
    sequence = sorted(row["seq"] for row in stack.rows(t.transitions))
    assert sequence == list(range(1, len(sequence) + 1))
    eventually(lambda: stack.rows(t.outbox) == [])


def test_outputs_reach_the_next_step(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("chain", CHAIN)
    stack.start("chain")

    stack.worker.run(stack.worker.task(), outputs={"ANSWER": "42"})
    second = stack.worker.task()

    assert second.outputs == (("ANSWER", "42"),)


def test_run_config_refuses_changed_params_and_chosen_ids(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("fixed", "runConfig: {disableParamEdit: true, disableRunIdEdit: true}\nparams: A=1 B=2\n" + ONE)

    def error(kind: type[c.StartRun], params: str, *, own_run_id: bool = False) -> str:
        command = kind(
            file_name="fixed", dag_run_id=new_run_id(), params=params, own_params=True, own_run_id=own_run_id
        )
        refused = stack.ask(command).error
        return refused.message if refused else ""

    assert "runConfig.disableParamEdit" in error(c.StartRun, "A=2")
    assert "runConfig.disableParamEdit" in error(c.EnqueueRun, '{"C": 1}')
    assert "runConfig.disableRunIdEdit" in error(c.StartRun, "", own_run_id=True)
    assert [error(c.StartRun, params) for params in ("", 'B="2"', '{"A": 1}', '[{"A": "1"}, {"B": "2"}]')] == [""] * 4
    # The payload of a webhook is not an edit.
    assert stack.ask(c.EnqueueRun(file_name="fixed", dag_run_id="r1", params='{"P": 1}')).error is None


def test_a_repeated_command_gets_its_first_outcome(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    command = c.StartRun(file_name="one", dag_run_id="r1")

    first = stack.ask(command, "key-1")
    again = stack.ask(command, "key-1")
    other = stack.ask(command.model_copy(update={"params": "X=1"}), "key-1")

    assert first == again
    assert other.error is not None
    assert other.error.code == "already_exists"
    assert len(stack.rows(t.dag_runs)) == 1


def test_a_refusal_has_its_error_code_and_changes_nothing(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.start("one")

    def code(command: c.Command) -> str:
        error = stack.ask(command).error
        assert error is not None
        return error.code

    assert code(c.StartRun(file_name="none", dag_run_id="r2")) == "not_found"
    assert code(c.StartRun(file_name="one", dag_run_id="r1")) == "already_exists"
    assert code(c.StartRun(file_name="one", dag_run_id="a b")) == "bad_request"
    assert code(c.StartRun(file_name="one", dag_run_id="r2", singleton=True)) == "already_running"
    assert code(c.StopRun(dag_name="one", dag_run_id="none")) == "not_found"
    assert code(c.RetryRun(dag_name="one", dag_run_id="r1")) == "already_running"
    assert code(c.DequeueRun(dag_name="one", dag_run_id="r1")) == "bad_request"
    assert code(c.CreateDag(file_name="one", spec=ONE)) == "already_exists"
    assert code(c.CreateDag(file_name="../x", spec=ONE)) == "bad_request"
    assert code(c.CreateDag(file_name="x", spec="steps: [{depends: nope, command: a}]")) == "bad_request"
    assert [row["file_name"] for row in stack.rows(t.dags)] == ["one"]
    assert [row["dag_run_id"] for row in stack.rows(t.dag_runs)] == ["r1"]


def test_a_queue_lets_one_run_of_a_dag_through_at_a_time_in_order(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    for run_id in ("r1", "r2", "r3"):
        stack.ask(c.EnqueueRun(file_name="one", dag_run_id=run_id))

    order = []
    for _ in range(3):
        task = stack.worker.task()
        running = [row["dag_run_id"] for row in stack.rows(t.dag_runs, status="running")]
        assert running == [task.dag_run_id]
        order.append(task.dag_run_id)
        stack.worker.run(task)

    assert order == ["r1", "r2", "r3"]


def test_a_dequeued_run_is_gone(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.start("one", "busy")
    stack.ask(c.EnqueueRun(file_name="one", dag_run_id="r1"))

    assert stack.ask(c.DequeueRun(dag_name="one", dag_run_id="r1")).outcome == "recorded"

    assert [row["dag_run_id"] for row in stack.rows(t.dag_runs)] == ["busy"]


def test_a_failed_step_is_tried_again_after_its_interval(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("again", "steps:\n  - command: x\n    retryPolicy: {limit: 1, intervalSec: 1}\n")
    stack.start("again")
    first = stack.worker.task()
    stack.worker.run(first, "failed", exit_code=3, error="exit status 3")

    second = stack.worker.task()
    stack.worker.run(second)

    stack.until("succeeded")
    (node,) = stack.rows(t.nodes)
    assert (node["retry_count"], second.number) == (1, 2)
    assert stack.rows(t.timers) == []


def test_a_run_is_stopped_at_its_time_limit(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("slow", "timeoutSec: 4\nsteps:\n  - sleep 600\n  - echo never\n")
    stack.start("slow")
    task = stack.worker.task()
    stack.worker.start(task)

    eventually(lambda: [told.token for told in stack.worker.told] == [task.token])
    stack.worker.finish(task, "aborted", exit_code=-1)

    stack.until("failed")
    assert stack.nodes() == {"cmd_1": "aborted", "cmd_2": "aborted"}


def test_stop_tells_the_worker_and_starts_nothing_more(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("chain", CHAIN)
    stack.start("chain")
    task = stack.worker.task()
    stack.worker.start(task)
    eventually(lambda: stack.nodes()["first"] == "running")

    stack.ask(c.StopRun(dag_name="chain", dag_run_id="r1"))
    eventually(lambda: [told.token for told in stack.worker.told] == [task.token])
    stack.worker.finish(task, "aborted", exit_code=-1)

    stack.until("aborted")
    assert stack.nodes() == {"first": "aborted", "second": "not_started"}
    error = stack.ask(c.StopRun(dag_name="chain", dag_run_id="r1")).error
    assert error is not None
    assert error.code == "not_running"


def test_a_silent_workers_step_is_lost_and_its_late_report_refused(stack: Stack) -> None:
    stack.scheduler(lease_s=1)
    stack.dag("one", ONE)
    stack.start("one")
    task = stack.worker.task()
    stack.worker.beat(task.token)
    stack.worker.start(task)

    stack.until("failed")
    stack.worker.finish(task)
    stack.start("one", "r2")
    # Without a start: the worker is still silent, so its next step could be lost between its start and its end.
    stack.worker.finish(stack.worker.task())

    stack.until("succeeded", "r2")
    assert stack.run()["status"] == "failed"
    (node,) = stack.rows(t.nodes, run_key=stack.run()["run_key"])
    assert "was lost" in node["error"]
    assert [row["state"] for row in stack.rows(t.attempts, run_key=stack.run()["run_key"])] == ["lost"]


def test_a_restarted_workers_former_steps_are_lost(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    stack.start("one")
    task = stack.worker.task()
    stack.worker.beat(task.token)
    stack.worker.start(task)
    eventually(lambda: stack.nodes() == {"cmd_1": "running"})

    stack.worker.incarnation = "second"

    def beat_until_failed() -> bool:
        stack.worker.beat()
        return bool(stack.run()["status"] == "failed")

    eventually(beat_until_failed, every_s=0.1)


def test_a_heartbeat_that_nobody_can_read_is_counted(stack: Stack) -> None:
    stack.scheduler()
    before = REGISTRY.get_sample_value("dagway_heartbeats_unreadable_total") or 0

    stack.transport.send(Outgoing(HEARTBEATS, b"what is this", "m1")).result(60)

    eventually(lambda: (REGISTRY.get_sample_value("dagway_heartbeats_unreadable_total") or 0) == before + 1)


def test_two_workers_under_one_id_are_told_of(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    stack.scheduler()
    began = utc_now()
    stack.worker.beat(started_at=began)
    eventually(lambda: [row["incarnation"] for row in stack.rows(t.workers)] == ["first"])
    other = ScriptedWorker(stack.transport, incarnation="second")
    other.beat()
    eventually(lambda: [row["incarnation"] for row in stack.rows(t.workers)] == ["second"])

    stack.worker.beat(started_at=began)

    eventually(lambda: "worker.id_shared" in caplog.messages)


def test_an_attempt_that_its_living_worker_does_not_name_is_lost(stack: Stack) -> None:
    stack.scheduler(lease_s=1)
    stack.dag("one", ONE)
    stack.start("one")
    task = stack.worker.task()
    # No heartbeat yet: after one, a lease would begin that may be over before the next one.
    stack.worker.start(task)
    eventually(lambda: stack.nodes() == {"cmd_1": "running"})

    def beat_without_it_until_failed() -> bool:
        stack.worker.beat()
        return bool(stack.run()["status"] == "failed")

    eventually(beat_without_it_until_failed, every_s=0.1)
    (node,) = stack.rows(t.nodes)
    assert "does not hold this step any more" in node["error"]


def test_a_stale_attempt_is_told_to_end(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("chain", CHAIN)
    stack.start("chain")
    task = stack.worker.task()
    stack.ask(c.StopRun(dag_name="chain", dag_run_id="r1"))
    stack.until("aborted")

    stack.worker.start(task)

    def told_to_let_go() -> bool:
        return any(told.revoked and told.token == task.token for told in stack.worker.told)

    eventually(told_to_let_go)
    assert stack.run()["status"] == "aborted"


def test_a_message_that_its_process_never_sent_is_swept_up(stack: Stack) -> None:
    stack.scheduler()
    route = BrokerQueue("test.swept", Durability.REPRODUCIBLE)
    stack.transport.declare([route])
    consumer = stack.transport.consume([route], prefetch=10)
    row = {
        "id": new_run_id(),
        "route": [route.name, str(route.durability), None],
        "body": b"left behind",
        "created_at": utc_now() - timedelta(minutes=1),
    }
    with Store(stack.engine).begin() as tx:
        tx.write(Rows(t.outbox, [row]))

    def arrived() -> bool:
        return [delivery.body for delivery in consumer.take(10, 0.1)] == [b"left behind"]

    eventually(arrived)
    eventually(lambda: stack.rows(t.outbox) == [])


def test_a_message_nobody_can_read_is_put_aside_with_the_reason(stack: Stack) -> None:
    stack.scheduler()
    stack.transport.send(Outgoing(COMMANDS, b"not json", new_run_id())).result(60)

    # The scheduler looks at the dead letters too, and has them in hand meanwhile.
    letter = eventually(lambda: only_letter(stack.transport))
    assert "not an envelope" in letter.reason
    stack.dag("one", ONE)


def test_a_followed_folder_brings_changes_in_and_spares_edits_by_api(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "a.yaml").write_text(ONE)
    (folder / "broken.yaml").write_text("steps: 5\n")
    followed = stack.scheduler(dags_dir=folder).folder
    assert followed is not None
    eventually(lambda: len(stack.rows(t.dags)) == 2)
    assert stack.rows(t.dags, file_name="broken")[0]["errors"]

    edited = ONE + "  - echo more\n"
    stack.ask(c.PutSpec(file_name="a", spec=edited))
    (folder / "b.yml").write_text(ONE)
    eventually(lambda: len(stack.rows(t.dags)) == 3)
    assert stack.rows(t.dags, file_name="a")[0]["version"] == 2

    (folder / "a.yaml").write_text(ONE + "  - echo other\n")
    eventually(lambda: stack.rows(t.dags, file_name="a")[0]["version"] == 3)
    (folder / "a.yaml").unlink()
    eventually(lambda: stack.rows(t.dags, file_name="a") == [])


def test_two_schedulers_dispatch_every_run_once(stack: Stack) -> None:
    stack.scheduler()
    stack.scheduler()
    stack.dag("one", ONE)
    asked = []
    for number in range(60):
        command_id = new_run_id()
        start = named(c.StartRun(file_name="one", dag_run_id=f"n{number}"))
        body = encode(start, id=command_id, at=utc_now())
        asked.append(stack.transport.request(Outgoing(COMMANDS, body, command_id)))
    for each in asked:
        each.reply(PATIENCE_S)

    tasks = stack.worker.tasks(60)
    for task in tasks:
        stack.worker.run(task)

    assert len({task.dag_run_id for task in tasks}) == 60
    eventually(lambda: len(stack.rows(t.dag_runs, status="succeeded")) == 60)
    assert stack.worker.has_none()
    assert len(stack.rows(t.attempts)) == 60


def test_workers_are_told_of_the_labels_that_tasks_ask_for(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scheduler.liveness.leases.OVERDUE_S", 0)  # a lease is enough for a task to be overdue
    stack.scheduler(lease_s=1)
    heard: list[dict[str, str]] = []

    def hear(_topic: str, body: bytes) -> None:
        message = decode(body).body
        if isinstance(message, TaskQueueOpened):
            heard.append(message.selector)

    stack.transport.listen(["workers"], hear)
    stack.dag("gpu", "workerSelector: {gpu: 'true'}\nsteps:\n  - echo hi\n")
    stack.start("gpu")

    # Whoever came later hears it again, for as long as the task waits.
    eventually(lambda: heard[:2] == [{"gpu": "true"}] * 2)
    assert stack.nodes() == {"cmd_1": "not_started"}


def test_outcomes_are_kept_for_a_day_longer_than_a_command_is_accepted(stack: Stack) -> None:
    stack.scheduler()
    stack.dag("one", ONE)
    (row,) = stack.rows(t.inbox)
    store = Store(stack.engine)

    assert Housekeeping(store, lambda: row["at"] + timedelta(days=7, hours=23)).tidy() == 0
    assert Housekeeping(store, lambda: row["at"] + timedelta(days=8, hours=1)).tidy() == 1
    assert stack.rows(t.inbox) == []
