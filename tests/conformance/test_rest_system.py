"""Reading the state of the system."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.api.machine_load import Resources
from tests.conformance.rest_stack import NOW, Stack, open_stack


def test_health_has_its_shape(stack: Stack) -> None:
    found = stack.get("/health")

    assert set(found.pop("schemaRevision")) == {"expected", "found"}
    assert found == {
        "status": "healthy",
        "version": "1.2.3",
        "uptime": 90,
        "timestamp": "2025-11-24T12:00:00Z",
    }


def test_metrics_have_the_names_and_the_aliases(stack: Stack) -> None:
    stack.add_dag("a")
    stack.add_dag("faulty", "steps: [{command: 3")
    stack.add_run("a", "1", "failed")
    stack.add_run("a", "2", "succeeded")
    stack.add_run("a", "3", "running")
    stack.add_run("b", "4", "queued")

    stack.get("/dag-runs")
    response = stack.api("GET", "/metrics")
    lines = response.get_data(as_text=True).splitlines()

    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    for line in (
        'dagu_dag_runs_total{status="error"} 1.0',
        'dagu_dag_runs_total{status="success"} 1.0',
        'dagu_dag_runs_total{status="failed"} 1.0',
        'dagu_dag_runs_total{status="aborted"} 0.0',
        "dagu_dag_runs_currently_running 1.0",
        "dagu_dag_runs_queued_total 1.0",
        "dagu_dags_total 2.0",
        "dagway_faulty_dags 1.0",
        "dagu_scheduler_running 0.0",
        "dagu_uptime_seconds 90.0",
        'dagu_dag_runs_currently_running_by_dag{dag="a"} 1.0',
        'dagu_dag_runs_queued_by_dag{dag="b"} 1.0',
        'dagu_dag_runs_total_by_dag{dag="a",status="failed"} 1.0',
        "# TYPE dagu_dag_runs_total_by_dag counter",
        # Not the queued and the running one: what they wait for is found out anew each time.
        'dagu_cache_entries_total{cache="dag_run_status"} 2.0',
        'dagu_cache_entries_total{cache="api_key"} 0.0',
        'dagu_cache_entries_total{cache="webhook"} 0.0',
    ):
        assert line in lines
    assert any(line.startswith('dagu_cache_entries_total{cache="dag_definition"}') for line in lines)
    assert any(line.startswith("dagu_info{") for line in lines)
    assert any(line.startswith("process_cpu_seconds_total") for line in lines)


class Asked(Resources):
    """A source of samples that has none. It records for how long samples were requested."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = 0.0

    def last(self, seconds: float) -> dict[str, list[dict[str, float]]]:
        self.wanted = seconds
        return super().last(seconds)


@pytest.mark.parametrize(
    ("query", "hours"),
    [
        ("", 1),
        ("?duration=", 1),
        ("?duration=30m", 0.5),
        ("?duration=1.5h", 1.5),
        ("?duration=2000m", 24),
        ("?duration=48h30m", 24),
        (f"?duration={'9' * 400}h", 24),
        ("?duration=x", 1),
        (f"?duration={'x' * 400}", 1),
    ],
)
def test_an_invalid_duration_means_an_hour_and_a_long_one_is_cut_to_a_day(
    tmp_path: Path, query: str, hours: float
) -> None:
    resources = Asked()
    with open_stack(tmp_path, resources=resources) as stack:
        assert set(stack.get(f"/services/resources/history{query}")) == {"cpu", "memory", "disk", "load"}

    assert resources.wanted == hours * 3600


def test_workers_and_schedulers_are_listed(stack: Stack) -> None:
    worker = {"incarnation": "i", "host": "h", "version": "1", "labels": {"gpu": "true"}, "slots": 4, "busy": 1}
    for name, age_s in (("w1", 1), ("w2", 9), ("w3", 11), ("w4", 20), ("w5", 7200)):
        at = NOW - timedelta(seconds=age_s)
        times = {"started_at": at, "heartbeat_at": at, "lease_until": at + timedelta(seconds=10)}
        stack.add("workers", worker_id=name, **worker, state="live", **times)
    ends = {"started_at": NOW, "heartbeat_at": NOW, "lease_until": NOW + timedelta(seconds=10)}
    stack.add("workers", worker_id="w6", **worker, state="stopped", **ends)
    for name, age_s in (("s1", 1), ("s2", 60)):
        at = NOW - timedelta(seconds=age_s)
        stack.add("services", kind="scheduler", instance_id=name, host="h", version="1", started_at=at, heartbeat_at=at)

    found = stack.get("/workers")

    assert [(each["id"], each["healthStatus"]) for each in found["workers"]] == [
        ("w1", "healthy"),
        ("w2", "healthy"),  # An idle worker: its heartbeats are rare, and each is recorded up to 4 s later.
        ("w3", "warning"),
        ("w4", "unhealthy"),
        ("w6", "unhealthy"),
    ]
    assert found["workers"][0]["labels"] == {"gpu": "true"}
    assert (found["workers"][0]["totalPollers"], found["workers"][0]["busyPollers"]) == (4, 1)
    assert [each["instanceId"] for each in stack.get("/services/scheduler")["schedulers"]] == ["s1"]
    assert stack.get("/services/coordinator") == {"coordinators": []}


def test_a_task_that_was_sent_to_a_worker_takes_no_slot_before_it_starts(stack: Stack) -> None:
    times = {"started_at": NOW, "heartbeat_at": NOW, "lease_until": NOW + timedelta(seconds=10)}
    stack.add(
        "workers",
        worker_id="w",
        incarnation="i",
        host="h",
        version="1",
        labels={},
        slots=4,
        busy=0,
        state="live",
        **times,
    )
    spec = "type: graph\nsteps:\n  - name: begun\n    command: echo\n  - name: sent\n    command: echo\n"
    common = {"token_worker": "w", "dispatched_at": NOW}
    begun = {**common, "token": "1", "token_state": "running", "status": "running", "started_at": NOW}
    sent = {**common, "token": "2", "token_state": "dispatched"}
    stack.add_run("a", "1", "running", spec, started_at=NOW, nodes={"begun": begun, "sent": sent})

    assert stack.get("/workers")["workers"][0]["busyPollers"] == 1
    assert stack.get("/overview")["workers"][0]["busy"] == 1


def test_settings_of_schedulers_and_workers_say_where_they_differ(stack: Stack) -> None:
    times = {"started_at": NOW, "heartbeat_at": NOW}
    common = {"incarnation": "i", "host": "h", "version": "1", "labels": {}, "slots": 4, "busy": 0, **times}
    for name, slots, lease_s in (("w1", "4", 9), ("w2", "8", 9), ("gone", "99", -9)):
        settings = {"DAGWAY_WORKER_SLOTS": [slots, "DAGWAY_WORKER_SLOTS"]}
        lease_until = NOW + timedelta(seconds=lease_s)
        stack.add("workers", worker_id=name, state="live", lease_until=lease_until, settings=settings, **common)
    stack.add("workers", worker_id="old", state="live", lease_until=NOW + timedelta(seconds=9), **common)
    scheduler = {"kind": "scheduler", "instance_id": "s1", "host": "h", "version": "1", **times}
    stack.add("services", settings={"DAGWAY_AMQP_URL": ["", "DAGWAY_AMQP_URL_FILE"]}, **scheduler)

    workers, schedulers = stack.get("/settings/workers"), stack.get("/settings/schedulers")

    assert (workers["processes"], workers["silent"]) == (3, ["old"])
    [slots_of] = workers["settings"]
    assert (slots_of["variable"], slots_of["differs"]) == ("DAGWAY_WORKER_SLOTS", True)
    assert [(each["value"], each["processes"]) for each in slots_of["values"]] == [("4", ["w1"]), ("8", ["w2"])]
    [broker] = schedulers["settings"]
    assert (broker["secret"], broker["values"][0]["value"], broker["differs"]) == (True, "", False)


def test_queues_show_who_runs_and_who_waits(stack: Stack) -> None:
    stack.add("queues", name="batch", kind="global", max_concurrency=2)
    stack.add("queues", name="idle", kind="dag-based", max_concurrency=1)
    stack.add_run("a", "1", "running", queue="batch", started_at=NOW)
    stack.add_run("a", "2", "queued", queue="batch", queued_at=NOW)

    found = stack.get("/queues")

    [queue] = found["queues"]
    assert (queue["name"], queue["type"], queue["maxConcurrency"]) == ("batch", "global", 2)
    assert [run["dagRunId"] for run in queue["running"]] == ["1"]
    assert [run["dagRunId"] for run in queue["queued"]] == ["2"]
    assert found["summary"] == {
        "totalQueues": 1,
        "totalRunning": 1,
        "totalQueued": 1,
        "totalCapacity": 2,
        "utilizationPercentage": 50.0,
    }


def test_a_dags_own_queue_has_the_limit_of_the_dag(stack: Stack) -> None:
    stack.add_run("a", "1", "running", "maxActiveRuns: 4\nsteps: [echo hi]\n", started_at=NOW)

    found = stack.get("/queues")

    [queue] = found["queues"]
    assert (queue["type"], queue["maxConcurrency"]) == ("dag-based", 4)
    assert (found["summary"]["totalCapacity"], found["summary"]["utilizationPercentage"]) == (4, 25.0)
