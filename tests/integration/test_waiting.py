"""Why a run or step waits: each reason in the API, on both deployments, correct at the time of the request."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.serving import make_server

from services.api.app import create_app
from services.api.command_client import Commands
from services.api.deps import Deps
from services.api.settings import Settings
from services.cli import cli
from services.scheduler.loops.folder import Folder
from shared.contracts import commands as c
from shared.contracts.events import AttemptStarted
from shared.store import tables as t
from shared.store.engine import has_own_session, is_postgres, one_statement
from shared.store.reads.reader import Reads
from shared.store.writes.bulk import Rows
from tests.harness.loopback import serving
from tests.integration.pool_rig import PoolRig
from tests.integration.scheduler_stack import Stack

PLAIN = "{name: work, command: a}"


class Asker(PoolRig):
    """A rig with a gateway on the same database."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        deps = Deps(
            transport=stack.transport,
            commands=Commands(stack.transport, lambda: self.now),
            reads=Reads(stack.engine),
            clock=lambda: self.now,
            version="1",
            uptime_s=lambda: 90.0,
            settings=Settings(zone=UTC),
        )
        self.app = create_app(deps)
        self.client: FlaskClient = self.app.test_client()

    @contextmanager
    def served(self) -> Iterator[str]:
        """The URL of the gateway, on a real HTTP server."""
        server = make_server("127.0.0.1", 0, self.app)
        with serving(server):
            yield f"http://127.0.0.1:{server.server_port}"

    def get(self, path: str) -> Any:
        response = self.client.get(f"/api/v2{path}")
        assert response.status_code == 200, response.get_data(as_text=True)
        return response.get_json()

    def why(self, run_id: str, dag: str = "a") -> str | None:
        """Return why a run waits; check that all responses about the run give the same reason."""
        told: str | None = self.get(f"/dag-runs/{dag}/{run_id}")["dagRunDetails"].get("waitingFor")
        listed = [each for each in self.get("/dag-runs")["dagRuns"] if each["dagRunId"] == run_id]
        queued = [each for queue in self.get("/queues")["queues"] for each in queue["queued"]]
        assert [each.get("waitingFor") for each in listed] == [told]
        assert [each["waitingFor"] for each in queued if each["dagRunId"] == run_id] == ([told] if told else [])
        return told

    def why_step(self, run_id: str, step: str = "work", dag: str = "a") -> str | None:
        nodes = self.get(f"/dag-runs/{dag}/{run_id}")["dagRunDetails"]["nodes"]
        told: str | None
        [told] = [node.get("waitingFor") for node in nodes if node["step"]["name"] == step]
        return told

    def why_dag(self, name: str = "a") -> str | None:
        told: str | None = self.get(f"/dags/{name}").get("waitingFor")
        [listed] = [each for each in self.get("/dags")["dags"] if each["fileName"] == f"{name}.yaml"]
        assert listed.get("waitingFor") == told
        return told

    def enqueue(self, *ids: str, **facts: Any) -> None:
        self.must(*[c.EnqueueRun(file_name="a", dag_run_id=run_id, **facts) for run_id in ids])


@pytest.fixture
def rig(stack: Stack) -> Asker:
    return Asker(stack)


# -- runs -------------------------------------------------------------------------------------------


def test_a_full_queue_names_its_runs(rig: Asker) -> None:
    rig.dag("a", PLAIN)
    rig.must(c.SetQueue(name="q", max_concurrency=2))
    rig.enqueue("r1", "r2", "r3", queue="q")
    assert rig.why("r3") == "its turn in queue q"
    rig.parts.admission.admit("q")
    assert rig.why("r3") == "queue q is full (2/2): a/r1, a/r2"
    assert rig.why("r1") is None


@pytest.mark.parametrize(
    ("scope", "name", "expected"),
    [
        ("global", "", "paused by ann: everything (upgrade)"),
        ("queue", "a", "paused by ann: queue a (upgrade)"),
        ("dag", "a", "paused by ann: DAG a (upgrade)"),
    ],
)
def test_a_pause_names_who_made_it(rig: Asker, scope: Any, name: str, expected: str) -> None:
    rig.dag("a", PLAIN)
    rig.enqueue("r1")
    rig.must(c.SetPause(scope=scope, name=name, by="ann", reason="upgrade"))
    assert rig.why("r1") == expected


def test_labels_that_no_worker_has_are_named_for_runs_and_steps(rig: Asker) -> None:
    rig.dag("a", PLAIN, head="workerSelector: {gpu: 'true', zone: eu}")
    rig.enqueue("r1")
    rig.start("r2")
    expected = "no live worker with labels gpu=true, zone=eu"
    assert rig.why("r1") == expected
    assert rig.why_step("r2") == expected
    facts = {"incarnation": "i", "host": "h", "version": "0", "slots": 1, "busy": 1, "state": "live"}
    times = {"started_at": rig.now, "heartbeat_at": rig.now, "lease_until": rig.now + timedelta(seconds=10)}
    with rig.store.begin() as tx:
        tx.write(Rows(t.workers, [{"worker_id": "w", "labels": {"gpu": "true", "zone": "eu"}, **facts, **times}]))
    assert rig.why("r1") == "its turn in queue a" or rig.why("r1") == "queue a is full (1/1): a/r2"
    assert rig.why_step("r2") == "a worker with a free slot"


def test_a_held_run_says_until_when(rig: Asker) -> None:
    rig.dag("a", PLAIN)
    rig.enqueue("r1")
    held = {"run_key": rig.stack.run("r1")["run_key"], "wait_s": 0, "not_before": rig.now + timedelta(minutes=5)}
    with rig.store.begin() as tx:
        tx.write(Rows(t.run_holds, [held]))
    assert rig.why("r1") == "not before 2026-11-24T12:05:00+00:00"


def test_a_restarted_run_says_until_when_it_waits_after_the_one_before(rig: Asker) -> None:
    rig.dag("a", PLAIN)
    rig.start("r1")
    rig.enqueue("r2")
    first, second = (rig.stack.run(name)["run_key"] for name in ("r1", "r2"))
    with rig.store.begin() as tx:
        held = {"run_key": second, "wait_s": 60, "not_before": None, "after_key": first}
        tx.write(Rows(t.run_holds, [held]))
    assert rig.why("r2") == "the end of run a/r1, which is running"
    rig.end("r1/work")
    assert rig.parts.admission.admit("a") == 0
    assert rig.why("r2") == f"not before {(rig.now + timedelta(seconds=60)).isoformat()}"


def test_a_called_run_that_its_caller_lends_its_place_does_not_wait_for_the_full_queue(rig: Asker) -> None:
    rig.dag("c", PLAIN, head="queue: q")
    rig.dag("a", "{name: call, call: c}", head="queue: q")
    rig.must(c.SetQueue(name="q", max_concurrency=1))
    rig.enqueue("r1")
    rig.parts.admission.admit("q")
    rig.call("r1/call", "")

    rig.enqueue("r2")
    child = rig.stack.rows(t.dag_runs, dag_name="c")[0]["dag_run_id"]
    assert rig.get(f"/dag-runs/a/r1/sub-dag-runs/{child}")["dagRunDetails"]["waitingFor"] == "its turn in queue q"
    assert rig.why("r2") == "queue q is full (1/1): a/r1"
    rig.parts.admission.admit("q")
    assert rig.status(child) == "running"
    assert rig.why("r2") == f"queue q is full (1/1): c/{child}"


# -- steps ------------------------------------------------------------------------------------------


def test_a_full_pool_names_its_users_and_who_goes_first(rig: Asker) -> None:
    rig.dag("a", "{name: work, command: a, pool: gpu}")
    rig.must(c.SetPool(name="gpu", capacity=2))
    for run_id in ("r1", "r2", "r3"):
        rig.start(run_id)
        rig.now += timedelta(seconds=1)
    assert rig.why_step("r3") == "its turn for pool gpu (steps before it: 2)"
    rig.admit()
    assert rig.why_step("r3") == "pool gpu is full (2/2): a/r1 (work), a/r2 (work)"
    [pool] = rig.get("/pools")["pools"]
    assert (pool["kind"], pool["name"], pool["capacity"], pool["taken"], pool["waiting"]) == ("pool", "gpu", 2, 2, 1)
    assert [(each["dagRunId"], each["since"]) for each in pool["users"]] == [
        ("r1", "2026-11-24T12:00:03Z"),
        ("r2", "2026-11-24T12:00:03Z"),
    ]
    assert [each["dagRunId"] for each in pool["waiters"]] == ["r3"]


def test_a_lock_names_its_holder(rig: Asker) -> None:
    rig.dag("a", "{name: work, command: a, lock: table}")
    rig.start("r1")
    rig.admit()
    rig.now += timedelta(seconds=1)
    rig.start("r2")
    assert rig.why_step("r2") == "lock table, held by a/r1 (work)"
    rig.end("r1/work")
    rig.admit()
    assert rig.why_step("r2") == "no live worker"


def test_a_rate_limit_says_when_the_next_start_may_be(rig: Asker) -> None:
    rig.dag("a", "{name: work, command: a, rateLimit: {name: api, limit: 1, intervalSec: 90}}")
    rig.start("r1")
    rig.admit()
    rig.now += timedelta(seconds=1)
    rig.start("r2")
    assert rig.why_step("r2") == "rate limit api (1 starts in 90 s): not before 2026-11-24T12:01:30+00:00"
    [rate] = rig.get("/pools")["pools"]
    assert (rate["kind"], rate["capacity"], rate["intervalSec"]) == ("rate", 1, 90)
    assert rate["users"][0]["until"] == "2026-11-24T12:01:30Z"


def test_a_step_between_two_tries_says_when_the_next_one_is(rig: Asker) -> None:
    rig.dag("a", "{name: work, command: a, retryPolicy: {limit: 1, intervalSec: 60}}")
    rig.start("r1")
    row = rig.nodes()["r1/work"]
    begun = AttemptStarted(
        token=row["token"], run_key=row["run_key"], node=0, worker_id="w", incarnation="i", at=rig.now
    )
    rig.report(begun)
    assert rig.why_step("r1") is None
    rig.end("r1/work", "failed")
    assert rig.why_step("r1") == "its next attempt, not before 2026-11-24T12:01:00+00:00"


def test_the_command_line_tells_the_same(rig: Asker) -> None:
    rig.dag("a", "{name: work, command: a, lock: table}", head="maxActiveRuns: 1")
    rig.start("r1")
    rig.admit()
    rig.now += timedelta(seconds=1)
    rig.start("r2")
    rig.enqueue("r3")
    with rig.served() as url:
        told = [CliRunner().invoke(cli, ["why", "a", *run, "--url", url]) for run in ((), ("r2",), ("nobody",))]
    assert told[0].output.splitlines() == [
        "a: no schedule starts it",
        "a/r3 is queued, waits for: queue a is full (2/1): a/r1, a/r2",
        "a/r2, step work, waits for: lock table, held by a/r1 (work)",
        "a/r1, step work, waits for: no live worker",
    ]
    assert told[1].output == "a/r2, step work, waits for: lock table, held by a/r1 (work)\n"
    assert (told[2].exit_code, "nobody" in told[2].output) == (1, True)


def test_the_command_line_tells_of_errors_and_approvals_and_of_runs_without_a_stored_dag(
    rig: Asker, tmp_path: Path
) -> None:
    followed, file = Folder(rig.transactor, tmp_path), tmp_path / "a.yaml"
    file.write_text("schedule: '0 4 * * *'\nsteps:\n  - {name: ask, type: hitl}\n")
    followed.run_once()
    rig.start("r1")
    rig.end("r1/ask")
    rig.must(c.StartInline(spec="steps: [a]", dag_name="once", dag_run_id="r2"))
    rig.end("r2/cmd_1")
    file.write_text("schedule: '0 4 * * *'\nsteps:\n  - {name: ask, typ: hitl}\n")
    followed.run_once()

    with rig.served() as url:
        told = [CliRunner().invoke(cli, ["why", *about, "--url", url]) for about in (["a"], ["a", "r1"], ["once"])]
    approval = "a/r1, step ask, waits for: approval (dagway approve lists it)"
    assert told[0].output.splitlines() == [
        "a: its spec has errors",
        "  line 3, column 5: steps[0]: step command is required",
        '  line 3, column 17: steps[0]: has invalid keys: typ (did you mean "type"?)',
        approval,
    ]
    assert told[1].output == f"{approval}\n"
    assert told[2].output == "once: no schedule starts it\n"
    assert rig.why_dag() == "its spec has errors"


def test_a_called_run_and_the_node_that_called_it_say_what_it_waits_for(rig: Asker) -> None:
    rig.dag("c", PLAIN, head="queue: q")
    rig.dag("a", "{name: call, call: c, parallel: {items: [x]}}")
    rig.must(c.SetQueue(name="q", max_concurrency=1), c.StartRun(file_name="c", dag_run_id="other"))
    rig.start("r1")
    rig.call("r1/call", "1", "2")
    rows = sorted(rig.stack.rows(t.dag_runs, status="queued"), key=lambda row: row["queued_at"])
    first, second = (row["dag_run_id"] for row in rows)

    child = rig.get(f"/dag-runs/a/r1/sub-dag-runs/{first}")["dagRunDetails"]
    assert child["waitingFor"] == "queue q is full (1/1): c/other"
    assert (
        rig.why_step("r1", "call") == f"run {first} of c, which waits for: {child['waitingFor']}, and 1 more is queued"
    )
    rig.end("other/work")
    rig.parts.admission.admit("q")
    rig.end(f"{first}/work")
    rig.parts.admission.admit("q")
    assert rig.status(second) == "running"
    assert rig.why_step("r1", "call") is None


# -- dags -------------------------------------------------------------------------------------------


def test_a_dag_says_when_its_schedule_starts_it_or_why_not(rig: Asker) -> None:
    rig.dag("a", PLAIN, head='schedule: "0 * * * *"')
    rig.dag("plain", PLAIN)
    rig.parts.firing.adopt()
    assert rig.why_dag("plain") is None
    assert rig.why_dag() == "not before 2026-11-24T13:00:00Z"
    rig.must(c.SuspendDag(file_name="a", suspend=True))
    assert rig.why_dag() == "suspended: its schedule starts nothing"
    rig.must(c.SetPause(scope="dag", name="a", by="ann", reason="holiday"))
    assert rig.why_dag() == "paused by ann (holiday)"
    rig.must(c.SetPause(scope="global", by="bob"))
    assert rig.why_dag() == "paused by bob: everything"


def test_the_details_of_a_run_whose_step_runs_are_one_query(rig: Asker) -> None:
    rig.dag("a", PLAIN, "{name: next, command: b, depends: work}")
    rig.start("r1")
    work = rig.nodes()["r1/work"]
    facts: dict[str, Any] = {"worker_id": "w", "incarnation": "i", "at": rig.now}
    rig.report(AttemptStarted(token=work["token"], run_key=work["run_key"], node=work["idx"], **facts))
    rig.get("/dag-runs/a/r1")  # parses the spec
    asked: list[str] = []

    def note(*sent: Any) -> None:
        asked.append(sent[2])

    event.listen(rig.stack.engine, "before_cursor_execute", note)
    assert rig.why_step("r1") is None
    event.remove(rig.stack.engine, "before_cursor_execute", note)
    with one_statement(rig.stack.engine) as connection:
        # SQLAlchemy does not see the read of the run, if that goes to the driver.
        seen = 0 if has_own_session(connection) or not is_postgres(connection) else 1
    assert len([sql for sql in asked if sql.startswith("SELECT")]) == seen, asked
