"""DAGs and runs, asked of a whole system over HTTP."""

import json
import time
from typing import Any

from services.api.caches.run_totals import RunTotals
from services.scheduler.loops.run_totals import TotalsKeeper
from shared.status import RunStatus
from shared.store.engine import open_engine
from shared.store.writes.transaction import Store
from tests.conformance.conftest import Deployment
from tests.conformance.rest_live import Live
from tests.harness.eventually import eventually

FAILS_ONCE = """\
steps:
  - name: good
    command: echo good
    output: GOOD_THING
  - name: bad
    command: "false"
"""
SLEEPS = "steps:\n  - name: s\n    command: sleep 600\n"


def test_a_dag_is_created_once_and_only_if_valid(live: Live) -> None:
    assert live.post("/dags", {"name": "c1"}, status=201) == {"name": "c1"}
    assert live.refused("POST", "/dags", {"name": "c1"}) == (409, "already_exists")
    assert live.post("/dags/c1.yaml/start", {"params": "{}"})["dagRunId"]
    bad = {"name": "c2", "spec": "steps:\n  - name: a\n    command: echo\n    depends: nobody\n"}
    assert live.refused("POST", "/dags", bad) == (400, "bad_request")
    assert live.refused("GET", "/dags/c2") == (404, "not_found")
    assert live.refused("POST", "/dags", {"name": "../x"}) == (400, "bad_request")


def test_dags_are_listed_by_page_name_and_tag(live: Live) -> None:
    live.dag("ListMe", "tags: prod\nschedule: '0 2 * * *'\nsteps:\n  - echo hi\n")
    live.dag("listother")
    assert [each["fileName"] for each in live.get("/dags?name=LISTM")["dags"]] == ["ListMe.yaml"]
    assert [each["fileName"] for each in live.get("/dags?tag=PROD")["dags"]] == ["ListMe.yaml"]
    assert live.get("/dags?tag=pro")["dags"] == []
    assert live.get("/dags")["pagination"]["prevPage"] is None
    assert live.get("/dags?name=nothing-is-called-so")["pagination"]["totalPages"] == 1
    for order in ("asc", "desc"):
        names = [each["fileName"] for each in live.get(f"/dags?name=list&sort=nextRun&order={order}")["dags"]]
        assert names == ["ListMe.yaml", "listother.yaml"]


def test_a_spec_is_read_and_replaced_unless_invalid(live: Live) -> None:
    live.dag("look")
    assert live.get("/dags/look") == live.get("/dags/look.yaml")
    assert live.refused("GET", "/dags/none") == live.refused("GET", "/dags/none/spec") == (404, "not_found")
    before = live.get("/dags/look/spec")["spec"]
    answer = live.ask("PUT", "/dags/look/spec", {"spec": "steps: ["})
    assert (answer.status_code, bool(answer.get_json()["errors"])) == (200, True)
    assert live.get("/dags/look/spec")["spec"] == before
    assert live.refused("PUT", "/dags/none/spec", {"spec": before}) == (404, "not_found")
    assert live.post("/dags/validate", {"spec": "steps: ["})["valid"] is False


def test_dags_are_renamed_and_deleted_and_their_runs_stay(live: Live) -> None:
    live.dag("ren1", "name: ren1\nsteps:\n  - echo hi\n")
    live.dag("ren2")
    assert live.refused("POST", "/dags/ren1/rename", {"newFileName": "a/b"}) == (400, "bad_request")
    assert live.refused("POST", "/dags/ren1/rename", {"newFileName": "ren2"}) == (409, "already_exists")
    run_id = live.start("ren1")
    live.until("ren1", run_id, 4)
    assert live.ask("DELETE", "/dags/ren1").status_code == 204
    assert live.refused("DELETE", "/dags/ren1") == (404, "not_found")
    assert live.run("ren1", run_id)["status"] == 4


def test_a_suspended_dag_can_be_started_and_stays_suspended_under_a_new_name(live: Live) -> None:
    live.dag("sus")
    response = live.ask("POST", "/dags/sus.yaml/suspend", {"suspend": True})
    assert (response.status_code, response.headers["Content-Length"]) == (200, "0")
    assert live.get("/dags/sus")["suspended"] is True
    assert live.get("/dags?name=sus")["dags"][0]["suspended"] is True
    live.until("sus", live.start("sus"), 4)
    live.post("/dags/sus/rename", {"newFileName": "sus-other"})
    assert live.get("/dags/sus-other")["suspended"] is True


def test_specs_are_searched_by_line_and_tags_are_distinct(live: Live) -> None:
    live.dag("seek", "tags: [x1, x2]\nsteps:\n  - name: Needle\n    command: echo\n")
    [result] = live.get("/dags/search?q=nEEdle")["results"]
    assert result["name"] == "seek"
    assert all(0 <= match["lineNumber"] - match["startLine"] <= 2 for match in result["matches"])
    assert live.refused("GET", "/dags/search") == (400, "bad_request")
    # Lines are counted as editors do, whatever else a line may hold.
    live.dag("paged", 'description: "a"\r\nsteps:\r\n  - echo \x85 \u2028\r\n  - echo Needle2\r\n')
    [result] = live.get("/dags/search?q=needle2")["results"]
    assert [(match["lineNumber"], match["startLine"]) for match in result["matches"]] == [(4, 2)]
    assert result["matches"][0]["line"].splitlines(keepends=True)[0] == "steps:\n"
    assert live.get("/dags/search?q=")["results"] == []
    assert live.get("/dags/search", query_string={"q": "(((["})["results"] == []
    tags = live.get("/dags/tags")["tags"]
    assert {"x1", "x2"} <= set(tags)
    assert len(tags) == len(set(tags))


def test_runs_are_started_and_stopped_and_refused_when_they_cannot_be(live: Live) -> None:
    live.dag("st", SLEEPS)
    run_id = live.start("st", dagRunId="deploy-v1.2.3")
    assert run_id == "deploy-v1.2.3"
    assert live.run("st", run_id)["status"] != 0
    assert live.refused("POST", "/dags/st/start", {"dagRunId": run_id}) == (409, "already_exists")
    took_s = []
    for _ in range(3):
        began = time.monotonic()
        assert live.refused("POST", "/dags/st/start", {"dagRunId": "a b"}) == (400, "bad_request")
        took_s.append(time.monotonic() - began)
    assert min(took_s) < 1
    assert live.refused("POST", "/dags/st/start", {"singleton": True}) == (409, "already_running")
    live.dag("st2")
    other = live.start("st2", dagName="override")
    assert live.run("override", other)["name"] == "override"
    assert live.get("/dag-runs/override")["dagRuns"][0]["dagRunId"] == other
    # 36: stopping; 44: no step can be set while it runs; 38: nor is it queued.
    assert live.refused("PATCH", f"/dag-runs/st/{run_id}/steps/s/status", {"status": 4}) == (400, "bad_request")
    assert live.refused("GET", f"/dag-runs/st/{run_id}/dequeue") == (400, "bad_request")
    stopped = live.ask("POST", f"/dag-runs/st/{run_id}/stop")
    assert (stopped.status_code, stopped.data, stopped.headers["Content-Length"]) == (200, b"", "0")
    live.until("st", run_id, 3)
    assert live.refused("POST", f"/dag-runs/st/{run_id}/stop") == (400, "not_running")


def test_runs_are_queued_and_dequeued(live: Live) -> None:
    live.dag("q", f"maxActiveRuns: 1\n{SLEEPS}")
    first = live.start("q")
    run_id = live.post("/dags/q/enqueue", {"dagRunId": "second"})["dagRunId"]
    queued = live.run("q", run_id)
    assert (queued["status"], queued["startedAt"], bool(queued["queuedAt"])) == (5, "", True)
    assert live.refused("POST", "/dags/q/enqueue", {"singleton": True})[0] == 409
    assert live.refused("POST", "/dags/q/enqueue", {"dagRunId": "second"}) == (409, "already_exists")
    assert live.refused("POST", "/dag-runs/q/second/stop") == (400, "not_running")
    assert live.ask("GET", "/dag-runs/q/second/dequeue").status_code == 200
    assert live.refused("GET", "/dag-runs/q/second") == (404, "not_found")
    live.post(f"/dag-runs/q/{first}/stop")
    live.until("q", first, 3)


def test_a_queue_can_have_any_name(live: Live) -> None:
    live.dag("qs", "steps:\n  - echo hi\n")
    assert live.ask("PUT", "/queues/a%2Fb", {"maxConcurrency": 3}).status_code == 200
    live.post("/dags/qs/enqueue", {"dagRunId": "r", "queue": "a/b"})
    live.post("/dag-runs/enqueue", {"spec": "name: qs\nsteps:\n  - echo hi\n", "dagRunId": "s", "queue": "a/b"})
    for run_id in ("r", "s"):
        live.until("qs", run_id, 4)
    assert live.post("/queues/a%2Fb/pause") == {"paused": True}
    live.post("/dags/qs/enqueue", {"dagRunId": "t", "queue": "a/b"})
    [queue] = [each for each in live.get("/queues")["queues"] if each["name"] == "a/b"]
    assert (queue["maxConcurrency"], [run["dagRunId"] for run in queue["queued"]]) == (3, ["t"])
    live.post("/queues/a%2Fb/resume")
    live.until("qs", "t", 4)
    for verb in ("pause", "resume"):
        assert live.refused("POST", f"/queues/{'q' * 201}/{verb}") == (400, "bad_request")


def test_runs_of_a_spec_in_the_request_store_no_dag(live: Live) -> None:
    assert live.refused("POST", "/dag-runs", {"name": "inl"}) == (400, "bad_request")
    assert live.refused("POST", "/dag-runs", {"spec": "steps:\n  - echo hi\n"}) == (400, "bad_request")
    spec = "params: A=1\nsteps:\n  - echo $A\n"
    run_id = live.post("/dag-runs", {"name": "inl", "spec": spec, "params": "A=2"})["dagRunId"]
    assert live.until("inl", run_id, 4)["params"] == "A=2"
    assert live.get(f"/dag-runs/inl/{run_id}/spec")["spec"] == spec
    assert live.refused("GET", "/dags/inl") == (404, "not_found")
    body = {"name": "inl", "spec": spec, "dagRunId": run_id}
    assert live.refused("POST", "/dag-runs", body) == (409, "already_exists")
    assert live.refused("POST", "/dag-runs/enqueue", body) == (409, "already_exists")
    queued = live.post("/dag-runs/enqueue", {"spec": f"name: inl2\n{spec}"})["dagRunId"]
    live.until("inl2", queued, 4)


def test_runs_are_found_by_filter_latest_and_page(live: Live) -> None:
    live.dag("find")
    run_id = live.start("find", dagRunId="find-abc-1")
    live.until("find", run_id, 4)
    assert {each["status"] for each in live.get("/dag-runs?status=4")["dagRuns"]} == {4}
    assert live.get("/dag-runs?status=42")["dagRuns"] == []
    assert [each["dagRunId"] for each in live.get("/dag-runs?dagRunId=d-abc")["dagRuns"]] == [run_id]
    now = int(time.time())
    assert live.get(f"/dag-runs/find?fromDate={now + 5}")["dagRuns"] == []
    assert len(live.get(f"/dag-runs/find?fromDate={now - 600}&toDate={now + 5}")["dagRuns"]) == 1
    for path in ("", "/spec", "/outputs"):
        live.get(f"/dag-runs/find/latest{path}")
    assert live.refused("GET", "/dag-runs/none/latest") == (404, "not_found")
    live.dag("never")
    assert live.get("/dags/never/dag-runs/latest")["dagRun"]["status"] == 0
    pages = [live.get("/dag-runs?cursor=&limit=1")]
    while pages[-1]["nextCursor"]:
        pages.append(live.get("/dag-runs", query_string={"cursor": pages[-1]["nextCursor"], "limit": 1}))
    ids = [each["dagRunId"] for page in pages for each in page["dagRuns"]]
    assert ids == [each["dagRunId"] for each in live.get("/dag-runs")["dagRuns"]]


def test_runs_are_rescheduled_and_retried_and_steps_patched(live: Live) -> None:
    live.dag("re", FAILS_ONCE)
    run_id = live.start("re", params="X=1")
    first = live.until("re", run_id, 2)
    assert live.refused("PATCH", f"/dag-runs/re/{run_id}/steps/none/status", {"status": 4}) == (404, "not_found")
    assert live.refused("PATCH", f"/dag-runs/re/{run_id}/steps/bad/status", {"status": 99}) == (400, "bad_request")
    again = live.post(f"/dag-runs/re/{run_id}/reschedule")
    assert (again["dagRunId"] != run_id, again["queued"]) == (True, False)
    assert live.until("re", again["dagRunId"], 2)["params"] == first["params"]
    live.post(f"/dag-runs/re/{run_id}/retry", {"dagRunId": run_id})
    retried = live.until("re", run_id, 2)
    good, bad = retried["nodes"]
    assert good["startedAt"] == first["nodes"][0]["startedAt"]
    assert bad["status"] == 2
    for number in (6, 4):
        assert live.ask("PATCH", f"/dag-runs/re/{run_id}/steps/bad/status", {"status": number}).status_code == 200
        patched = live.run("re", run_id)
        assert (patched["status"], patched["nodes"][1]["status"]) == (2, number)
    live.post(f"/dag-runs/re/{run_id}/retry", {"dagRunId": run_id})
    live.until("re", run_id, 4)
    live.post(f"/dag-runs/re/{run_id}/retry", {"dagRunId": "brand-new"})
    eventually(lambda: live.run("re", "brand-new")["status"] in {2, 4})
    live.post("/dag-runs/re/brand-new/retry", {"dagRunId": "brand-new", "stepName": "good"})
    eventually(lambda: live.run("re", "brand-new")["status"] != 1)
    assert live.refused("POST", f"/dag-runs/re/{run_id}/reschedule", {"dagRunId": run_id}) == (409, "already_exists")
    assert live.refused("POST", f"/dag-runs/re/{run_id}/reschedule", {"dagName": "a b"}) == (400, "bad_request")


def test_logs_are_read_by_lines_and_outputs_by_name(live: Live) -> None:
    live.dag("log", "steps:\n  - name: a/b\n    command: printf 'one\\ntwo\\nthree\\n'\n    output: THE_VALUE\n")
    run_id = live.start("log")
    live.until("log", run_id, 4)
    path = f"/dag-runs/log/{run_id}/steps/a%2Fb/log"
    tail = live.get(f"{path}?tail=1")
    assert (tail["content"], tail["totalLines"], tail["hasMore"]) == ("three", 3, True)
    assert live.get(path)["content"] == "one\ntwo\nthree"
    assert live.get(f"{path}?offset=2&limit=1")["content"] == "two"
    assert live.get(f"{path}/search?q=T") == {"lines": [2, 3], "nextLine": 0, "totalLines": 3}
    assert live.get(f"{path}/search?q=t&limit=1") == {"lines": [2], "nextLine": 3, "totalLines": 3}
    assert live.refused("GET", f"{path}/search?q=") == (400, "bad_request")
    assert live.refused("GET", f"{path.replace('b/log', 'c/log')}/search?q=t") == (404, "not_found")
    assert live.get(f"/dag-runs/log/{run_id}/outputs")["outputs"]["theValue"].startswith("one")
    live.dag("mute")
    quiet = live.start("mute")
    live.until("mute", quiet, 4)
    assert live.get(f"/dag-runs/mute/{quiet}/outputs")["outputs"] == {}


def test_values_that_multiply_each_other_are_refused(live: Live) -> None:
    """A few lines would make gigabytes, in the scheduler, a worker or the gateway."""
    bomb = [("A0", "x" * 60), *((f"A{n}", f"${{A{n - 1}}}" * 10) for n in range(1, 9))]
    lines = "".join(f"  - {name}: {value}\n" for name, value in bomb)
    live.dag("bomb", f"env:\n{lines}steps:\n  - echo hi\n")
    assert live.refused("POST", "/dags/bomb/start", {}) == (400, "bad_request")
    live.dag("target")
    params = " ".join(f"{name}={value}" for name, value in bomb)
    assert live.refused("POST", "/dags/target/start", {"params": params}) == (400, "bad_request")

    live.dag("prepared", f"env:\n  - H: ${{HOME}}\n{lines}steps:\n  - echo hi\n")
    failed = live.until("prepared", live.start("prepared"), 2)
    assert "the expanded text is longer than 2097152 characters" in str(failed)

    live.dag("shown", "params:\n  - X: ''\nsteps:\n  - command: ': $X$X$X$X'\n")
    run_id = live.start("shown", params=json.dumps({"X": "x" * 100_000}))
    ended = eventually(lambda: _ended(live.run("shown", run_id)))
    assert ended["nodes"][0]["step"]["commands"][0]["args"] == ["$X$X$X$X"]


def _ended(run: dict[str, Any]) -> dict[str, Any]:
    assert run["status"] not in (0, 1, 5), run["statusLabel"]
    return run


def test_the_totals_of_ended_runs_are_counted_on_and_are_metrics(live: Live, deployment: Deployment) -> None:
    totals = RunTotals(kept_s=0)
    before = totals.get(live.reads)
    live.dag("counted")
    live.until("counted", live.start("counted"), 4)
    live.dag("broken", "steps:\n  - 'false'\n")
    retried = live.start("broken")
    live.until("broken", retried, 2)
    assert totals.get(live.reads) != before
    live.post(f"/dag-runs/broken/{retried}/retry", {"dagRunId": retried})
    live.until("broken", retried, 2)
    engine = open_engine(deployment.database_url)

    def counted_on_as_anew() -> None:
        # Counting on is the same as reading the kept totals: both remember a retried run's earlier end.
        TotalsKeeper(Store(engine)).keep()
        runs, durations, waits = totals.get(live.reads)
        anew = RunTotals().get(live.reads)
        assert runs["broken", RunStatus.FAILED] == 2
        assert durations["broken"][0][-1] == 2
        assert {key: many for key, many in runs.items() if many} == {key: many for key, many in anew[0].items() if many}
        assert (durations["counted"][0], waits.keys()) == (anew[1]["counted"][0], anew[2].keys())

    # A run that another test has left may end between the two.
    eventually(counted_on_as_anew)
    engine.dispose()

    metrics = live.ask("GET", "/metrics").get_data(as_text=True)
    assert 'dagu_dag_runs_total{status="error"}' in metrics
    assert "dagu_dag_run_duration_seconds_bucket" in metrics


def test_the_local_node_is_this_system_and_what_does_not_exist_is_refused(live: Live) -> None:
    live.dag("sys")
    assert live.get("/dags/sys?remoteNode=local") == live.get("/dags/sys")
    assert live.refused("GET", "/dags?remoteNode=zzz") == (400, "bad_request")
    assert live.post("/dags/sys/start")["dagRunId"]
    assert live.refused("POST", "/dags/sys/start", data="{", content_type="application/json") == (400, "bad_request")
    assert live.refused("GET", "/nothing/here") == (404, "not_found")


def test_idempotency_wait_if_match_and_versions(live: Live) -> None:
    live.dag("add")
    key = {"Idempotency-Key": "add-1"}
    one = live.post("/dags/add/start", {"params": "A=1"}, headers=key)
    assert live.post("/dags/add/start", {"params": "A=1"}, headers=key) == one
    assert live.refused("POST", "/dags/add/start", {"params": "A=2"}, headers=key) == (409, "already_exists")
    assert live.get("/commands/add-1")["outcome"] == "recorded"
    for unknown in ("nothing", "%00", "a%00b"):
        assert live.refused("GET", f"/commands/{unknown}") == (404, "not_found")
    done = live.post("/dags/add/start?wait=60s")
    assert (done["finished"], done["dagRunDetails"]["status"]) == (True, 4)
    assert live.refused("POST", "/dags/add/start?wait=x") == (400, "bad_request")

    tag = live.ask("GET", "/dags/add/spec").headers["ETag"]
    changed = live.ask("PUT", "/dags/add/spec", {"spec": "steps:\n  - echo two\n"}, headers={"If-Match": tag})
    assert (changed.status_code, changed.get_json(), changed.headers["ETag"] != tag) == (200, {"errors": []}, True)
    stale = live.refused("PUT", "/dags/add/spec", {"spec": "steps:\n  - echo 3\n"}, headers={"If-Match": tag})
    assert stale == (412, "precondition_failed")
    assert [each["version"] for each in live.get("/dags/add/versions")["versions"]] == [2, 1]
    assert "+  - echo two" in live.get("/dags/add/versions/1/diff")["diff"]
    assert live.post("/dags/add/versions/1/restore")["version"] == 3
    assert live.get("/dags/add/spec")["spec"] == live.get("/dags/add/versions/1")["spec"]
    assert live.refused("GET", "/dags/add/versions/99") == (404, "not_found")


def test_events_are_complete_and_resume(live: Live) -> None:
    live.dag("ev")
    run_id = live.start("ev")
    live.until("ev", run_id, 4)
    path = f"/dag-runs/ev/{run_id}/events"
    whole = live.ask("GET", path).get_data(as_text=True)
    ids = [int(line[4:]) for line in whole.splitlines() if line.startswith("id: ")]
    assert ids == list(range(1, len(ids) + 1))
    rest = live.ask("GET", path, headers={"Last-Event-ID": "2"}).get_data(as_text=True)
    assert [int(line[4:]) for line in rest.splitlines() if line.startswith("id: ")] == ids[2:]
    assert live.ask("GET", path, headers={"Last-Event-ID": str(ids[-1])}).status_code == 204
    stream = live.ask("GET", "/events", headers={"Last-Event-ID": "0-0"}, buffered=False)
    try:
        text = ""
        parts = iter(stream.response)
        while f'"{run_id}"' not in text or text.count(run_id) < len(ids):
            text += next(parts).decode()
    finally:
        stream.close()
    places = [line[4:] for line in text.splitlines() if line.startswith("id: ")]
    assert places[1:] == sorted(places[1:], key=lambda place: [int(part) for part in place.split("-")])
    assert len(set(places)) == len(places)
