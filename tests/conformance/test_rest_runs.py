"""Reading runs and their logs."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Executable, delete, update

from services.api.caches.run_summaries import Summaries
from shared.language.snapshot import make_snapshot
from shared.store import tables as t
from shared.workspaces import stored_name
from tests.conformance.rest_stack import CHAIN, NOW, Stack, open_stack


def test_the_json_of_listed_runs_takes_limited_memory(tmp_path: Path) -> None:
    with open_stack(tmp_path, summaries=Summaries(room_bytes=5_000)) as stack:
        for run_id, payload in (("r1", 2_000), ("r2", 2_000), ("r3", 6_000)):
            stack.add_run("hook", run_id, "succeeded", params=[["WEBHOOK_PAYLOAD", "x" * payload]])

        for run_id, kept in (("r1", 1), ("r2", 2), ("r3", 0), ("r1", 1)):
            for _ in range(2):
                [run] = stack.get(f"/dag-runs/hook?dagRunId={run_id}")["dagRuns"]
                assert (run["dagRunId"], run["params"][:17]) == (run_id, "WEBHOOK_PAYLOAD=x")
                assert len(stack.deps.summaries) == kept


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


@pytest.mark.parametrize("file_name", ["nightly.yaml", "nightly.yml"])
def test_the_name_that_a_list_shows_of_a_file_leads_to_its_runs(stack: Stack, file_name: str) -> None:
    run_chain(stack)
    stack.add_dag("file", "name: own\n" + CHAIN)
    stack.add_run("own", "r2", "succeeded")

    assert stack.get(f"/dag-runs/{file_name}/r1") == stack.get("/dag-runs/nightly/r1")
    assert stack.get(f"/dag-runs/{file_name}/latest") == stack.get("/dag-runs/nightly/latest")
    assert stack.get(f"/dag-runs/{file_name}/r1/steps/pull/log") == stack.get("/dag-runs/nightly/r1/steps/pull/log")
    assert stack.get(f"/dag-runs/{file_name}") == stack.get("/dag-runs/nightly")
    assert stack.get("/dag-runs/file.yaml/r2") == stack.get("/dag-runs/own/r2")


def test_runs_that_are_called_like_a_file_come_first(stack: Stack) -> None:
    stack.add_run("a", "r1", "succeeded")
    stack.add_run("a.yaml", "r2", "failed")

    assert [each["dagRunId"] for each in stack.get("/dag-runs/a.yaml")["dagRuns"]] == ["r2"]
    assert stack.api("GET", "/dag-runs/a.yaml/r1").status_code == 404


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
        "durationMs": 4000,
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


def test_the_spec_of_a_run_is_shown_without_the_base_configuration(stack: Stack) -> None:
    spec = "steps:\n  - echo hi\n"
    stack.add_run("nightly", "r1", "succeeded", make_snapshot(spec, "smtp: {host: mail, password: hush}\n"))

    assert stack.get("/dag-runs/nightly/r1/spec") == {"spec": spec}


def test_outputs_have_camel_case_keys(stack: Stack) -> None:
    run_chain(stack)
    stack.add_run("quiet", "r2", "succeeded")

    found = stack.get("/dag-runs/nightly/r1/outputs")

    assert found["outputs"] == {"rowCount": "12"}
    assert found["metadata"]["params"] == '["REGION=eu","DAY=mon"]'
    assert found["metadata"]["status"] == "failed"
    ended = stack.get("/dag-runs/nightly/r1")["dagRunDetails"]["finishedAt"]
    assert found["metadata"]["completedAt"] == ended != ""
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


@pytest.mark.parametrize("limit", ["0", "1", "1001", "5000", "-1", "x", "1.5", "\u0663", "9" * 5000])
def test_a_limit_is_ignored_without_a_cursor(stack: Stack, limit: str) -> None:
    for run_id in ("r1", "r2"):
        stack.add_run("a", run_id, "succeeded")

    for path in ("/dag-runs", "/dag-runs/a"):
        assert len(stack.get(path, query_string={"limit": limit})["dagRuns"]) == 2
        page = stack.api("GET", path, query_string={"limit": limit, "cursor": ""})
        assert page.status_code == (200 if limit == "1" else 400)
    assert [len(stack.get(f"/dag-runs?cursor=&limit={most}")["dagRuns"]) for most in ("1", "1000", "")] == [1, 2, 2]


def test_an_unknown_run_is_a_404(stack: Stack) -> None:
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


def test_the_log_of_a_step_with_any_name_is_read_by_lines(stack: Stack) -> None:
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


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_a_log_is_downloaded_as_a_whole(stack: Stack, api: str) -> None:
    key = run_chain(stack)
    stack.add_log(key, 1, "".join(f"line {number}\r\n" for number in range(1, 11)))
    run = f"/api/{api}/dag-runs/nightly/r1"

    step = stack.client.get(f"{run}/steps/a%2Fb%20c/log/download")

    assert (step.status_code, step.mimetype) == (200, "text/plain")
    assert step.headers["Content-Disposition"] == 'attachment; filename="r1.a_b_c.stdout.log"'
    assert step.get_data(as_text=True) == "".join(f"line {number}\r\n" for number in range(1, 11))
    assert stack.client.get(f"{run}/steps/a%2Fb%20c/log/download?stream=stderr").get_data() == b""
    assert stack.client.get(f"{run}/steps/none/log/download").status_code == 404
    whole = stack.client.get(f"{run}/log/download")
    assert whole.headers["Content-Disposition"] == 'attachment; filename="nightly.r1.log"'
    assert whole.get_data(as_text=True).strip() == str(stack.get("/dag-runs/nightly/r1/log")["content"]).strip()


def test_the_latest_run_is_not_deleted_by_that_name(stack: Stack) -> None:
    run_chain(stack)

    assert stack.api("DELETE", "/dag-runs/nightly/latest").status_code == 400
    assert stack.seen == []


def test_the_run_log_tells_what_happened(stack: Stack) -> None:
    key = run_chain(stack)
    changes = [(1, None, "not_started", "running"), (2, 0, "not_started", "running"), (3, 0, "running", "succeeded")]
    for seq, node, was, became in changes:
        stack.add("transitions", run_key=key, seq=seq, at=NOW, node=node, was=was, became=became, why="", by="")

    found = stack.get("/dag-runs/nightly/latest/log?tail=1")

    assert found["content"] == "2025-11-24T12:00:00Z step pull running -> succeeded"
    assert (found["lineCount"], found["totalLines"], found["hasMore"]) == (1, 3, True)
    assert stack.get("/dag-runs/nightly/r1/log?stream=stdout")["totalLines"] == 3


def test_the_details_of_an_ended_run_are_made_once_for_each_of_its_versions(stack: Stack) -> None:
    key, run = run_chain(stack), t.dag_runs.c.run_key
    for path in ("/dag-runs/nightly/r1", "/dag-runs/nightly/latest"):
        first = stack.get(path)
        # No scheduler would change a node like this, without a new version: so the answer shows who made it.
        change(stack, update(t.nodes).where(t.nodes.c.run_key == key, t.nodes.c.idx == 1).values(retry_count=9))
        assert stack.get(path) == first

        change(stack, update(t.dag_runs).where(run == key).values(version=t.dag_runs.c.version + 1))
        assert stack.get(path)["dagRunDetails"]["nodes"][1]["retryCount"] == 9
        change(stack, update(t.nodes).where(t.nodes.c.run_key == key, t.nodes.c.idx == 1).values(retry_count=2))
        change(stack, update(t.dag_runs).where(run == key).values(version=t.dag_runs.c.version + 1))

    stack.add_run("nightly", "r2", "succeeded", CHAIN, created_at=NOW + timedelta(seconds=1))
    assert stack.get("/dag-runs/nightly/latest")["dagRunDetails"]["dagRunId"] == "r2"
    change(stack, delete(t.dag_runs).where(run == key))
    assert stack.api("GET", "/dag-runs/nightly/r1").status_code == 404


def test_a_run_that_another_workspace_has_read_is_not_found(stack: Stack) -> None:
    stack.add("workspaces", name="acme", description="", created_at=NOW, updated_at=NOW, by="admin")
    stack.add_run(stored_name("acme", "nightly"), "r1", "failed", CHAIN)
    of_acme = {"X-Dagway-Workspace": "acme"}

    assert stack.get("/dag-runs/nightly/r1", headers=of_acme)["dagRunDetails"]["name"] == "nightly"
    assert stack.api("GET", "/dag-runs/nightly/r1").status_code == 404
    run_chain(stack)
    assert stack.get("/dag-runs/nightly/r1")["dagRunDetails"]["nodes"][1]["retryCount"] == 2
    assert stack.get("/dag-runs/nightly/r1", headers=of_acme)["dagRunDetails"]["nodes"][1]["retryCount"] == 0


@pytest.mark.parametrize(
    ("status", "step"),
    [
        ("running", {}),
        ("waiting", {}),
        ("failed", {"token_state": "running"}),
        ("failed", {"children": [{"dagRunId": "c2", "params": ""}], "done_count": 2}),
    ],
)
def test_details_that_change_without_a_new_version_are_made_for_each_request(
    stack: Stack, status: str, step: dict[str, object]
) -> None:
    key = stack.add_run("nightly", "r1", status, CHAIN, nodes={"pull": {"started_at": NOW, **step}})
    stack.get("/dag-runs/nightly/r1")

    change(stack, update(t.nodes).where(t.nodes.c.run_key == key, t.nodes.c.idx == 0).values(retry_count=9))

    assert stack.get("/dag-runs/nightly/r1")["dagRunDetails"]["nodes"][0]["retryCount"] == 9


def change(stack: Stack, statement: Executable) -> None:
    with stack.engine.begin() as connection:
        connection.execute(statement)
