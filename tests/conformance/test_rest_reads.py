"""What the gateway shows of the database. REST contract sections 4 to 6 and 13."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.conformance.rest_stack import NOW, Stack, open_stack

CHAIN = """\
description: A chain
tags: [ETL, Prod]
schedule: "0 2 * * *"
params: REGION=eu
steps:
  - name: pull
    command: echo one
    output: ROW_COUNT
  - name: a/b c
    command: echo two
handlerOn:
  exit:
    command: echo bye
"""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with open_stack(tmp_path) as opened:
        yield opened


# -- dags ---------------------------------------------------------------------------------------


def test_an_empty_list_has_one_page(stack: Stack) -> None:
    assert stack.get("/dags") == {
        "dags": [],
        "errors": [],
        "pagination": {"totalRecords": 0, "currentPage": 1, "totalPages": 1, "nextPage": None, "prevPage": None},
    }


def test_a_listed_dag_has_its_shape_and_a_latest_run_though_it_never_ran(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN, suspended=True)

    [file] = stack.get("/dags")["dags"]

    assert file == {
        "fileName": "nightly.yaml",
        "dag": {
            "name": "nightly",
            "description": "A chain",
            "params": ["REGION=eu"],
            "defaultParams": 'REGION="eu"',
            "tags": ["etl", "prod"],
            "schedule": [{"expression": "0 2 * * *"}],
            "maxActiveRuns": 1,
            "runConfig": {"disableParamEdit": False, "disableRunIdEdit": False},
        },
        "latestDAGRun": {
            "rootDAGRunName": "",
            "rootDAGRunId": "",
            "dagRunId": "",
            "name": "nightly",
            "status": 0,
            "statusLabel": "not_started",
            "startedAt": "",
            "finishedAt": "",
            "log": "",
            "params": "REGION=eu",
        },
        "suspended": True,
        "errors": [],
    }


def test_names_are_found_in_any_case_and_tags_only_whole(stack: Stack) -> None:
    stack.add_dag("Nightly", CHAIN)
    stack.add_dag("other")

    def names(query: str) -> list[str]:
        return [file["fileName"] for file in stack.get(f"/dags?{query}")["dags"]]

    assert names("name=NIGHT") == ["Nightly.yaml"]
    assert names("tag=PROD") == ["Nightly.yaml"]
    assert names("tag=pro") == []
    assert names("name=&tag=") == ["Nightly.yaml", "other.yaml"]
    assert names("name=night&tag=none") == []


def test_pages_have_null_at_the_edges_and_are_capped(stack: Stack) -> None:
    for letter in "abc":
        stack.add_dag(letter)

    first, beyond = stack.get("/dags?perPage=2"), stack.get("/dags?perPage=1000&page=9")

    assert [file["fileName"] for file in first["dags"]] == ["a.yaml", "b.yaml"]
    assert first["pagination"] == {
        "totalRecords": 3,
        "currentPage": 1,
        "totalPages": 2,
        "nextPage": 2,
        "prevPage": None,
    }
    assert beyond["dags"] == []
    assert (beyond["pagination"]["currentPage"], beyond["pagination"]["totalPages"]) == (9, 1)
    assert stack.get("/dags?page=0&perPage=0")["pagination"]["currentPage"] == 1


def test_sorted_by_next_run_the_unscheduled_come_last_both_ways(stack: Stack) -> None:
    stack.add_dag("a")
    stack.add_dag("b", 'schedule: "0 13 * * *"\nsteps: [echo hi]\n')
    stack.add_dag("c", 'schedule: "TZ=UTC 30 12 * * *"\nsteps: [echo hi]\n')
    stack.add_dag("d")

    def order(query: str) -> str:
        return "".join(file["fileName"][0] for file in stack.get(f"/dags?sort=nextRun{query}")["dags"])

    assert order("")[2:] == "ad"
    assert order("&order=desc")[2:] == "da"
    assert set(order("")[:2]) == {"b", "c"}
    assert order("")[:2] == order("&order=desc")[:2][::-1]
    assert stack.get("/dags?sort=nonsense&order=nonsense")["dags"][0]["fileName"] == "a.yaml"


def test_tags_are_distinct_and_sorted(stack: Stack) -> None:
    stack.add_dag("a", CHAIN)
    stack.add_dag("b", "tags: prod, a\nsteps: [echo hi]\n")

    assert stack.get("/dags/tags") == {"tags": ["a", "etl", "prod"], "errors": []}


def test_a_dag_is_the_same_with_and_without_its_extension(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN)

    found = stack.get("/dags/nightly")

    assert stack.get("/dags/nightly.yaml") == stack.get("/dags/nightly.yml") == found
    assert set(found) == {"dag", "localDags", "latestDAGRun", "suspended", "errors"}
    assert found["dag"]["histRetentionDays"] == 30
    assert [step["name"] for step in found["dag"]["steps"]] == ["pull", "a/b c"]
    assert found["dag"]["steps"][1]["depends"] == ["pull"]
    assert found["dag"]["steps"][0]["output"] == "ROW_COUNT"
    assert found["dag"]["steps"][0]["executorConfig"] == {"config": {}}
    assert found["dag"]["steps"][0]["commands"] == [{"command": "echo", "args": ["one"]}]
    assert set(found["dag"]["handlerOn"]) == {"exit"}
    latest = found["latestDAGRun"]
    assert (latest["status"], [node["startedAt"] for node in latest["nodes"]]) == (0, ["-", "-"])
    assert latest["onExit"]["step"]["name"] == "onExit"


def test_a_dag_that_is_not_there_is_a_404(stack: Stack) -> None:
    for path in ("/dags/none", "/dags/none/spec", "/dags/none.yaml", "/dags/none/dag-runs/latest"):
        response = stack.api("GET", path)
        assert (response.status_code, response.get_json()["code"]) == (404, "not_found")


def test_a_broken_dag_is_shown_with_its_errors(stack: Stack) -> None:
    stack.add_dag("broken", "steps:\n  - name: a\n    command: echo\n    depends: nobody\n")

    found = stack.get("/dags/broken")

    assert found["dag"]["name"] == "broken"
    assert found["errors"]
    assert stack.get("/dags")["dags"][0]["errors"] == found["errors"]


def test_the_spec_is_the_text_as_it_was_given(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN)

    found = stack.get("/dags/nightly/spec")

    assert found["spec"] == CHAIN
    assert found["dag"]["name"] == "nightly"
    assert found["errors"] == []


def test_validation_tells_everything_and_stores_nothing(stack: Stack) -> None:
    def validate(**body: str) -> dict[str, object]:
        response = stack.api("POST", "/dags/validate", json=body)
        assert response.status_code == 200
        found: dict[str, object] = response.get_json()
        return found

    good, broken = validate(spec=CHAIN), validate(spec="steps: [")
    assert (good["valid"], good["errors"]) == (True, [])
    assert broken["valid"] is False
    assert broken["errors"]
    assert validate(spec=CHAIN)["dag"]["name"] == "validated-dag"  # type: ignore[index]
    assert validate(spec=CHAIN, name="mine")["dag"]["name"] == "mine"  # type: ignore[index]
    assert validate(spec=f"name: own\n{CHAIN}", name="mine")["dag"]["name"] == "own"  # type: ignore[index]
    assert stack.seen == []


# -- runs ---------------------------------------------------------------------------------------


def run_chain(stack: Stack, run_id: str = "r1") -> str:
    stack.add_dag("nightly", CHAIN)
    at = NOW - timedelta(hours=1)
    return stack.add_run(
        "nightly",
        run_id,
        "failed",
        CHAIN,
        params=[["REGION", "eu"], ["DAY", "mon"]],
        worker_id="w1",
        queued_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=4),
        nodes={
            "pull": {
                "status": "succeeded",
                "started_at": at,
                "finished_at": at + timedelta(seconds=1),
                "done_count": 1,
                "outputs": {"ROW_COUNT": "12"},
            },
            "a/b c": {"status": "failed", "started_at": at, "error": "exit code 1", "retry_count": 2},
        },
    )


def test_a_run_has_its_shape(stack: Stack) -> None:
    run_chain(stack)

    found = stack.get("/dag-runs/nightly/r1")["dagRunDetails"]

    nodes = found.pop("nodes")
    on_exit = found.pop("onExit")
    assert found == {
        "rootDAGRunName": "nightly",
        "rootDAGRunId": "r1",
        "dagRunId": "r1",
        "name": "nightly",
        "status": 2,
        "statusLabel": "failed",
        "startedAt": "2025-11-24T11:00:00Z",
        "finishedAt": "2025-11-24T11:00:04Z",
        "queuedAt": "2025-11-24T11:00:00Z",
        "log": "nightly/r1/run.log",
        "params": "REGION=eu DAY=mon",
        "workerId": "w1",
        "preconditions": [],
    }
    assert [(node["step"]["name"], node["status"], node["statusLabel"]) for node in nodes] == [
        ("pull", 4, "succeeded"),
        ("a/b c", 2, "failed"),
    ]
    assert nodes[1]["error"] == "exit code 1"
    assert nodes[1]["retryCount"] == 2
    assert nodes[0]["stdout"]
    assert (nodes[0]["subRuns"], nodes[0]["subRunsRepeated"]) == ([], [])
    assert (on_exit["status"], on_exit["startedAt"], on_exit["stdout"]) == (0, "", "")
    assert stack.get("/dag-runs/nightly/latest")["dagRunDetails"]["dagRunId"] == "r1"
    assert stack.get("/dags/nightly")["latestDAGRun"]["dagRunId"] == "r1"
    assert stack.get("/dags/nightly/dag-runs/r1")["dagRun"]["nodes"] == nodes


def test_a_queued_run_has_no_start_and_its_nodes_have_dashes(stack: Stack) -> None:
    stack.add_run("nightly", "q1", "queued", CHAIN, queued_at=NOW, given='{"REGION": "us", "N": 1000000}')

    found = stack.get("/dag-runs/nightly/q1")["dagRunDetails"]

    assert (found["status"], found["queuedAt"], found["startedAt"]) == (5, "2025-11-24T12:00:00Z", "")
    assert found["nodes"][0]["startedAt"] == "-"
    assert found["params"] == "REGION=us N=1000000"


def test_the_spec_of_a_run_is_the_one_it_was_created_from(stack: Stack) -> None:
    stack.add_dag("nightly", "steps: [echo changed]\n")
    stack.add_run("nightly", "r1", "succeeded", CHAIN)

    assert stack.get("/dag-runs/nightly/r1/spec") == {"spec": CHAIN}
    assert stack.get("/dag-runs/nightly/latest/spec") == {"spec": CHAIN}


def test_outputs_have_camel_case_keys(stack: Stack) -> None:
    run_chain(stack)
    stack.add_run("quiet", "r2", "succeeded")

    found = stack.get("/dag-runs/nightly/r1/outputs")

    assert found["outputs"] == {"rowCount": "12"}
    assert found["metadata"]["params"] == '["REGION=eu", "DAY=mon"]'
    assert found["metadata"]["status"] == "failed"
    assert stack.get("/dag-runs/quiet/latest/outputs")["outputs"] == {}


def test_runs_are_filtered(stack: Stack) -> None:
    day = timedelta(days=1)
    stack.add_run("a", "x-1", "succeeded", created_at=NOW - 2 * day)
    stack.add_run("a", "x-2", "failed", created_at=NOW - day)
    stack.add_run("b", "y-1", "succeeded", created_at=NOW)
    now = int(NOW.timestamp())

    def ids(query: str) -> list[str]:
        return [run["dagRunId"] for run in stack.get(f"/dag-runs{query}")["dagRuns"]]

    assert ids("") == ["y-1", "x-2", "x-1"]
    assert ids("?status=4") == ["y-1", "x-1"]
    assert ids("?status=42") == []
    assert ids("?dagRunId=x-") == ["x-2", "x-1"]
    assert ids("?name=a") == ["x-2", "x-1"]
    assert ids(f"?fromDate={now}") == ["y-1"]
    assert ids(f"?toDate={now}") == ["x-2", "x-1"]
    assert ids("?fromDate=99999999999999999&toDate=-5") == []
    assert ids("/a") == ["x-2", "x-1"]
    assert ids("/none") == []


def test_a_run_that_is_not_there_is_a_404(stack: Stack) -> None:
    stack.add_dag("nightly", CHAIN)
    for path in (
        "/dag-runs/none/latest",
        "/dag-runs/nightly/latest",
        "/dag-runs/nightly/x/spec",
        "/dags/nightly/dag-runs/x",
    ):
        assert stack.api("GET", path).status_code == 404
    assert stack.get("/dags/nightly/dag-runs/latest")["dagRun"]["status"] == 0


def test_history_has_a_row_per_step_in_step_with_the_runs(stack: Stack) -> None:
    run_chain(stack)
    stack.add_run("nightly", "r2", "succeeded", created_at=NOW + timedelta(1))

    found = stack.get("/dags/nightly.yaml/dag-runs")

    assert [run["dagRunId"] for run in found["dagRuns"]] == ["r2", "r1"]
    rows = {row["name"]: row["history"] for row in found["gridData"]}
    assert rows["pull"] == [0, 4]
    assert rows["a/b c"] == [0, 2]
    assert [row["name"] for row in found["gridData"]][-1] == "onExit"
    assert stack.get("/dags/none/dag-runs") == {"dagRuns": [], "gridData": []}


# -- logs ---------------------------------------------------------------------------------------


def test_a_step_log_is_read_by_lines_whatever_the_step_is_called(stack: Stack) -> None:
    key = run_chain(stack)
    stack.add_log(key, 1, "".join(f"line {number}\n" for number in range(1, 11)))

    def log(query: str, step: str = "a%2Fb%20c") -> dict[str, object]:
        found: dict[str, object] = stack.get(f"/dag-runs/nightly/r1/steps/{step}/log{query}")
        return found

    assert log("?tail=2") == {
        "content": "line 9\nline 10",
        "lineCount": 2,
        "totalLines": 10,
        "hasMore": True,
        "isEstimate": False,
    }
    assert log("?tail=2", "a/b%20c") == log("?tail=2")
    assert log("?offset=2&limit=1")["content"] == "line 2"
    assert log("?offset=10")["hasMore"] is False
    assert log("?offset=99") == {"content": "", "lineCount": 0, "totalLines": 10, "hasMore": False, "isEstimate": False}
    assert log("?head=1")["hasMore"] is True
    assert log("?tail=1&head=5")["content"] == "line 10"
    assert log("?tail=0&limit=-3")["lineCount"] == 10
    assert log("?stream=stderr")["content"] == ""
    assert log("", "onExit")["lineCount"] == 0
    assert stack.api("GET", "/dag-runs/nightly/r1/steps/none/log").status_code == 404
    assert stack.api("GET", "/dag-runs/nightly/r1/steps/pull/log?stream=x").status_code == 400


def test_the_run_log_tells_what_happened(stack: Stack) -> None:
    key = run_chain(stack)
    changes = [(1, None, "not_started", "running"), (2, 0, "not_started", "running"), (3, 0, "running", "succeeded")]
    for seq, node, was, became in changes:
        stack.add("transitions", run_key=key, seq=seq, at=NOW, node=node, was=was, became=became, why="", by="")

    found = stack.get("/dag-runs/nightly/latest/log?tail=1")

    assert found["content"] == "2025-11-24T12:00:00Z step pull running -> succeeded"
    assert (found["lineCount"], found["totalLines"], found["hasMore"]) == (1, 3, True)
    assert stack.get("/dag-runs/nightly/r1/log?stream=stdout")["totalLines"] == 3


# -- the system ---------------------------------------------------------------------------------


def test_health_has_its_shape(stack: Stack) -> None:
    assert stack.get("/health") == {
        "status": "healthy",
        "version": "1.2.3",
        "uptime": 90,
        "timestamp": "2025-11-24T12:00:00Z",
    }


def test_metrics_have_the_names_and_the_aliases(stack: Stack) -> None:
    stack.add_dag("a")
    stack.add_run("a", "1", "failed")
    stack.add_run("a", "2", "succeeded")
    stack.add_run("a", "3", "running")
    stack.add_run("b", "4", "queued")

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
        "dagu_dags_total 1.0",
        "dagu_scheduler_running 0.0",
        "dagu_uptime_seconds 90.0",
        'dagu_dag_runs_currently_running_by_dag{dag="a"} 1.0',
        'dagu_dag_runs_queued_by_dag{dag="b"} 1.0',
        'dagu_dag_runs_total_by_dag{dag="a",status="failed"} 1.0',
    ):
        assert line in lines
    assert any(line.startswith("dagu_info{") for line in lines)
    assert any(line.startswith("process_cpu_seconds_total") for line in lines)


def test_workers_and_schedulers_are_listed(stack: Stack) -> None:
    worker = {"incarnation": "i", "host": "h", "version": "1", "labels": {"gpu": "true"}, "slots": 4, "busy": 1}
    for name, age_s in (("w1", 1), ("w2", 10), ("w3", 20), ("w4", 7200)):
        at = NOW - timedelta(seconds=age_s)
        stack.add("workers", worker_id=name, **worker, state="live", started_at=at, heartbeat_at=at, lease_until=at)
    for name, age_s in (("s1", 1), ("s2", 60)):
        at = NOW - timedelta(seconds=age_s)
        stack.add("services", kind="scheduler", instance_id=name, host="h", version="1", started_at=at, heartbeat_at=at)

    found = stack.get("/workers")

    assert [(each["id"], each["healthStatus"]) for each in found["workers"]] == [
        ("w1", "healthy"),
        ("w2", "warning"),
        ("w3", "unhealthy"),
    ]
    assert found["workers"][0]["labels"] == {"gpu": "true"}
    assert (found["workers"][0]["totalPollers"], found["workers"][0]["busyPollers"]) == (4, 1)
    assert [each["instanceId"] for each in stack.get("/services/scheduler")["schedulers"]] == ["s1"]
    assert stack.get("/services/coordinator") == {"coordinators": []}


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
