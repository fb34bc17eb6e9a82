"""Fires, limits of queues, pauses, and the reasons why runs wait."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from services.api.serving.waitress_server import EmbeddedServer
from services.cli import cli
from shared.contracts import commands as c
from shared.store import tables as t
from shared.store.writes.bulk import Rows
from shared.store.writes.transaction import Store
from tests.conformance.rest_stack import NOW, Stack, open_stack, recorded, refused


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with open_stack(tmp_path) as made:
        yield made


def add(stack: Stack, table: object, **row: object) -> None:
    with Store(stack.engine).begin() as tx:
        tx.write(Rows(table, [row]))  # type: ignore[arg-type]


def test_slots_are_listed_newest_first_with_their_reason(stack: Stack) -> None:
    stack.add_dag("a", "schedule: '0 4 * * *'\nsteps: [echo hi]\n")
    facts = {"file_name": "a", "kind": "start", "expression": "0 * * * *", "dag_name": "a", "decided_at": NOW}
    add(stack, t.cron_slots, slot_at=NOW - timedelta(hours=2), outcome="missed", reason="no scheduler", **facts)
    add(stack, t.cron_slots, slot_at=NOW, outcome="fired", reason="", dag_run_id="r1", **facts)
    schedule = {"dag_version": 1, "zone": "UTC", "decided_until": NOW, "next_fire_at": NOW + timedelta(hours=1)}
    add(stack, t.schedules, file_name="a", **schedule)

    answer = stack.get("/dags/a.yaml/slots")

    assert answer["nextSlot"] == "2025-11-24T13:00:00Z"
    assert [(each["slot"], each["outcome"], each.get("dagRunId")) for each in answer["slots"]] == [
        ("2025-11-24T12:00:00Z", "fired", "r1"),
        ("2025-11-24T10:00:00Z", "missed", None),
    ]
    assert len(stack.get("/dags/a/slots?outcome=missed")["slots"]) == 1
    assert len(stack.get("/dags/a/slots?limit=1&before=2025-11-24T11:00:00Z")["slots"]) == 1
    assert stack.api("GET", "/dags/none/slots").status_code == 404
    assert stack.api("GET", "/dags/a/slots?before=yesterday").status_code == 400

    month = stack.get("/dags/a/calendar")
    days = {int(day["date"][-2:]): day for day in month["days"]}
    assert (month["month"], list(days)) == ("2025-11", list(range(1, 31)))
    assert [days[24][kind] for kind in ("fired", "skipped", "missed", "planned")] == [1, 0, 1, 0]
    assert [days[day]["planned"] for day in (23, 25, 30)] == [0, 1, 1]
    assert sum(day["planned"] for day in stack.get("/dags/a/calendar?month=2026-02")["days"]) == 28
    assert stack.api("GET", "/dags/none/calendar").status_code == 404
    for bad in ("2025", "2025-13", "x", "9999-12", "0001-01", "25-1"):
        refused = stack.api("GET", f"/dags/a/calendar?month={bad}")
        assert (refused.status_code, refused.get_json()["details"]) == (400, {"field": "month"}), bad


def test_the_command_without_a_dag_lists_the_slots_of_all(stack: Stack, tmp_path: Path) -> None:
    facts = {"kind": "start", "expression": "0 * * * *", "outcome": "missed", "reason": "late", "decided_at": NOW}
    for hours, name in enumerate(("a", "b")):
        stack.add_dag(name)
        add(stack, t.cron_slots, file_name=name, dag_name=name, slot_at=NOW - timedelta(hours=hours), **facts)
    server = EmbeddedServer(stack.app, "127.0.0.1", 0)
    server.start()
    env = {"DAGWAY_URL": f"http://127.0.0.1:{server.port}", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    try:
        of_all, of_one = (CliRunner(env=env).invoke(cli, ["slots", *dag]).stdout for dag in ((), ("b",)))
    finally:
        server.stop()

    assert [line.split() for line in of_all.splitlines()] == [
        ["DAG", "TIME", "KIND", "OUTCOME", "RUN", "REASON"],
        ["a", "2025-11-24", "12:00:00Z", "start", "missed", "-", "late"],
        ["b", "2025-11-24", "11:00:00Z", "start", "missed", "-", "late"],
    ]
    assert [line.split()[0] for line in of_one.splitlines()] == ["TIME", "2025-11-24"]


def test_pages_of_slots_go_on_within_a_minute(stack: Stack) -> None:
    facts = {"expression": "0 * * * *", "outcome": "missed", "reason": "late", "decided_at": NOW}
    places = [(NOW, "a", "start"), (NOW, "b", "restart"), (NOW, "b", "start"), (NOW - timedelta(hours=1), "a", "start")]
    for at, name, kind in places:
        add(stack, t.cron_slots, file_name=name, dag_name=name, slot_at=at, kind=kind, **facts)
    stack.add_dag("b")

    every = stack.get("/slots")
    assert (len(every["slots"]), every["nextCursor"]) == (4, None)
    for path, expected in (("/slots", every["slots"]), ("/dags/b/slots", every["slots"][1:3])):
        found: list[dict[str, Any]] = []
        cursor: Any = ""
        while cursor is not None:
            page = stack.get(f"{path}?limit=1&cursor={cursor}")
            found += page["slots"]
            cursor = page["nextCursor"]
        assert [(each["slot"], each["fileName"], each["kind"]) for each in found] == [
            (each["slot"], each["fileName"], each["kind"]) for each in expected
        ]
    assert stack.api("GET", "/slots?cursor=x").status_code == 400


def test_a_run_has_the_scheduled_time_that_it_is_for(stack: Stack) -> None:
    stack.add_dag("a")
    stack.add_run("a", "late", "succeeded", scheduled_at=NOW - timedelta(hours=2))
    stack.add_run("a", "by-hand", "succeeded")

    assert {run["dagRunId"]: run.get("scheduleTime") for run in stack.get("/dag-runs/a")["dagRuns"]} == {
        "late": "2025-11-24T10:00:00Z",
        "by-hand": None,
    }
    assert stack.get("/dag-runs/a/late")["dagRunDetails"]["scheduleTime"] == "2025-11-24T10:00:00Z"


def test_a_calendar_has_the_fires_of_all_dags(stack: Stack) -> None:
    stack.add_dag("a", "schedule: ['0 4 * * *', '0 4 1-15 * *']\nsteps: [echo hi]\n")
    stack.add_dag("b", "schedule: '0 */12 * * *'\nsteps: [echo hi]\n")
    facts = {"kind": "start", "reason": "", "decided_at": NOW}
    for name, outcome in (("a", "fired"), ("b", "fired"), ("c", "skipped")):
        row = {"file_name": name, "dag_name": name, "expression": "0 * * * *", "outcome": outcome, **facts}
        add(stack, t.cron_slots, slot_at=NOW - timedelta(days=1), **row)
    early = NOW - timedelta(hours=2)
    for name in ("b", "d"):
        missed = {"file_name": name, "dag_name": name, "expression": "0 * * * *", "outcome": "missed"} | facts
        add(stack, t.cron_slots, slot_at=early, until_at=NOW, **missed)
    for name in ("a", "b"):
        schedule = {"dag_version": 1, "zone": "UTC", "decided_until": NOW, "next_start_at": NOW + timedelta(hours=1)}
        add(stack, t.schedules, file_name=name, **schedule)

    days = {int(day["date"][-2:]): day for day in stack.get("/calendar")["days"]}
    shown = {day: tuple(days[day][kind] for kind in ("fired", "skipped", "missed", "planned")) for day in days}
    assert [shown[day] for day in (22, 23, 24, 25)] == [(0, 0, 0, 0), (2, 1, 0, 0), (0, 0, 6, 0), (0, 0, 0, 3)]
    assert sum(day["planned"] for day in stack.get("/calendar?month=2026-02")["days"]) == 28 * 3
    assert stack.api("GET", "/calendar?month=x").get_json()["details"] == {"field": "month"}

    def listed(query: str) -> list[tuple[str, str]]:
        return [(each["fileName"], each["outcome"]) for each in stack.get(f"/slots?{query}")["slots"]]

    assert listed("") == [("b", "missed"), ("d", "missed"), ("a", "fired"), ("b", "fired"), ("c", "skipped")]
    assert listed("since=2025-11-24T00:00:00Z&before=2025-11-25T00:00:00Z") == [("b", "missed"), ("d", "missed")]
    assert listed("outcome=fired&limit=1") == [("a", "fired")]


@pytest.mark.parametrize("field", ["since", "before"])
@pytest.mark.parametrize("at", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_no_time_in_utc_is_refused(stack: Stack, field: str, at: str) -> None:
    stack.add_dag("a")
    paths = ["/slots"] if field == "since" else ["/slots", "/dags/a/slots"]
    for path in paths:
        response = stack.api("GET", f"{path}?{field}={at}")
        assert (response.status_code, response.get_json()["details"]) == (400, {"field": field})


def test_the_list_of_dags_can_be_sorted_by_the_next_run(stack: Stack) -> None:
    for name, hours in {"a": 2, "b": 1, "c": None}.items():
        stack.add_dag(name)
        due = None if hours is None else NOW + timedelta(hours=hours)
        row = {"dag_version": 1, "zone": "UTC", "decided_until": NOW, "next_fire_at": due, "next_start_at": due}
        add(stack, t.schedules, file_name=name, **row)

    listed = stack.get("/dags?sort=nextRun")["dags"]

    assert [(each["fileName"], each.get("nextRun")) for each in listed] == [
        ("b.yaml", "2025-11-24T13:00:00Z"),
        ("a.yaml", "2025-11-24T14:00:00Z"),
        ("c.yaml", None),
    ]
    assert [each["fileName"][0] for each in stack.get("/dags?sort=nextRun&order=desc")["dags"]] == ["a", "b", "c"]
    assert stack.get("/dags?sort=nonsense&order=nonsense")["dags"][0]["fileName"] == "a.yaml"
    assert stack.get("/dags/a")["nextRun"] == "2025-11-24T14:00:00Z"
    assert [each["fileName"] for each in stack.get("/overview")["nextFires"]] == ["b", "a"]


def test_while_everything_is_paused_nothing_has_a_next_run(stack: Stack) -> None:
    stack.add_dag("a")
    due = NOW + timedelta(hours=1)
    row = {"dag_version": 1, "zone": "UTC", "decided_until": NOW, "next_fire_at": due, "next_start_at": due}
    add(stack, t.schedules, file_name="a", **row)
    add(stack, t.pauses, scope="global", name="", paused_at=NOW, paused_by="ann", reason="upgrade")

    assert stack.get("/overview")["nextFires"] == []
    for seen in (stack.get("/dags/a"), *stack.get("/dags")["dags"]):
        assert ("nextRun" in seen, seen["waitingFor"]) == (False, "paused by ann: everything (upgrade)")


def test_limits_and_pauses_become_commands(stack: Stack) -> None:
    stack.answer = lambda _: recorded(done=True)
    calls = [
        ("PUT", "/queues/q", {"maxConcurrency": 3}, c.SetQueue(name="q", max_concurrency=3)),
        ("DELETE", "/queues/q", None, c.RemoveQueue(name="q")),
        ("POST", "/pause", {"reason": "upgrade"}, c.SetPause(scope="global", reason="upgrade")),
        ("POST", "/resume", None, c.EndPause(scope="global")),
        ("POST", "/queues/q/pause", None, c.SetPause(scope="queue", name="q")),
        ("POST", "/queues/q/resume", None, c.EndPause(scope="queue", name="q")),
        ("POST", "/dags/a.yaml/pause", None, c.SetPause(scope="dag", name="a")),
        ("POST", "/dags/a/resume", {"catchup": "all"}, c.EndPause(scope="dag", name="a", catchup="all")),
    ]
    for method, path, body, command in calls:
        response = stack.api(method, path, json=body) if body is not None else stack.api(method, path)
        assert response.status_code == 200, (path, response.get_data())
        assert stack.seen.pop()[1].model_copy(update={"by": command.by, "actor": None}) == command

    assert stack.api("PUT", "/queues/q", json={"maxConcurrency": 0}).status_code == 400
    assert stack.api("POST", "/resume", json={"catchup": "some"}).status_code == 400
    response = stack.api("POST", "/queues/q/resume", json={"catchup": "all"})
    assert (response.status_code, response.get_json()["details"]) == (400, {"field": "catchup"})
    stack.answer = lambda _: refused("not_found")
    assert stack.api("DELETE", "/queues/q").status_code == 404


def test_a_queued_run_says_what_it_waits_for(stack: Stack) -> None:
    def reason(run_id: str) -> str:
        listed = {each["dagRunId"]: each.get("waitingFor") for each in stack.get("/dag-runs")["dagRuns"]}
        details = stack.get(f"/dag-runs/d/{run_id}")["dagRunDetails"]
        assert details.get("waitingFor") == listed[run_id]
        return str(listed[run_id])

    gpu = "workerSelector: {gpu: 'true'}\nsteps:\n  - echo hi\n"
    stack.add_run("d", "run", "running", queue="q", started_at=NOW)
    stack.add_run("d", "full", "queued", queue="q", queued_at=NOW)
    stack.add_run("d", "turn", "queued", queue="empty", queued_at=NOW)
    stack.add_run("d", "labels", "queued", spec=gpu, queue="empty", queued_at=NOW)
    held = stack.add_run("d", "held", "queued", queue="empty", queued_at=NOW)
    add(stack, t.run_holds, run_key=held, wait_s=0, not_before=NOW + timedelta(minutes=1))

    assert reason("full") == "queue q is full (1/1): d/run"
    assert reason("turn") == "its turn in queue empty"
    assert reason("labels") == "no live worker with labels gpu=true"
    assert reason("held") == "not before 2025-11-24T12:01:00+00:00"
    assert reason("run") == "None"
    add(stack, t.pauses, scope="queue", name="q", paused_at=NOW, paused_by="ann", reason="upgrade")
    assert reason("full") == "paused by ann: queue q (upgrade)"

    add(stack, t.pauses, scope="queue", name="empty", paused_at=NOW, paused_by="ann", reason="")
    assert {each["name"]: (each["state"], each["inFlight"]) for each in stack.get("/pauses")["pauses"]} == {
        "q": ("pausing", 1),
        "empty": ("paused", 0),
    }
