"""Dagu 2's paths, ``/api/v1``, are answered by the operations of ``/api/v2``."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.api.operations import Operation
from services.api.requests.cursors import write_cursor
from services.api.routes import OPERATIONS
from tests.conformance.rest_contract import NEEDS
from tests.conformance.rest_stack import CHAIN, NOW, Stack, open_stack

NAMES = {
    "fileName": "nightly",
    "name": "nightly",
    "dagRunId": "r1",
    "stepName": "pull",
    "subDAGRunId": "s1",
    "userId": "u1",
    "keyId": "k1",
}
TIMES = {"timestamp", "uptime", "error"}
"""Fields that differ from one request to the next."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with open_stack(tmp_path_factory.mktemp("dagu2")) as opened:
        opened.add_dag("nightly", CHAIN)
        opened.add_dag("plain")
        opened.add_run("nightly", "r1", "succeeded", CHAIN)
        yield opened


def asked(stack: Stack, api: str, method: str, path: str) -> tuple[int, Any]:
    response = stack.client.open(f"/api/{api}{path}", method=method, json=None if method == "GET" else {})
    return response.status_code, response.get_json(silent=True)


def without(content: Any, *names: str) -> Any:
    if isinstance(content, list):
        return [without(each, *names) for each in content]
    if isinstance(content, dict):
        return {key: without(value, *names) for key, value in content.items() if key not in {*names, *TIMES}}
    return content


@pytest.mark.parametrize("each", [each for each in OPERATIONS if each.id in NEEDS], ids=lambda each: each.id)
def test_every_operation_of_the_contract_is_at_both_prefixes(stack: Stack, each: Operation) -> None:
    path = re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], each.path)

    ours, theirs = (asked(stack, api, each.method, path) for api in ("v2", "v1"))

    assert theirs[0] == ours[0]
    if each.method == "GET":
        assert without(theirs[1], "labels", "nextCursor") == without(ours[1], "labels")


def test_dags_have_labels_and_are_filtered_by_them(stack: Stack) -> None:
    listed = stack.client.get("/api/v1/dags?labels=etl").get_json()["dags"]

    assert [each["fileName"] for each in listed] == ["nightly.yaml"]
    assert listed[0]["dag"]["labels"] == listed[0]["dag"]["tags"] == ["etl", "prod"]
    assert stack.client.get("/api/v1/dags/labels").get_json()["labels"] == ["etl", "prod"]
    assert stack.client.get("/api/v1/dags/nightly").get_json()["dag"]["labels"] == ["etl", "prod"]
    assert "labels" not in stack.get("/dags/nightly")["dag"]


def test_two_labels_are_refused(stack: Stack) -> None:
    response = stack.client.get("/api/v1/dags?labels=etl,prod")

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")


def test_a_queue_has_its_counts_and_its_queued_runs_page_by_page(stack: Stack) -> None:
    def ask(path: str) -> Any:
        return stack.client.get(f"/api/v1/queues/{path}").get_json()

    for number in range(3):
        at = NOW + timedelta(seconds=number)
        stack.add_run("nightly", f"q{number}", "queued", CHAIN, queue="line", queued_at=at, created_at=at)
    stack.add_run("nightly", "on", "running", CHAIN, queue="line")

    assert {name: ask("line")[name] for name in ("name", "runningCount", "queuedCount")} == {
        "name": "line",
        "runningCount": 1,
        "queuedCount": 3,
    }
    first = ask("line/items?limit=2")
    assert [each["dagRunId"] for each in first["items"]] == ["q0", "q1"]
    rest = ask(f"line/items?limit=2&cursor={first['nextCursor']}")
    assert ([each["dagRunId"] for each in rest["items"]], rest["nextCursor"]) == (["q2"], None)
    assert ask("none/items") == {"items": [], "nextCursor": None}
    assert ask("none")["code"] == "not_found"
    for query, field in (
        ("page=2", "page"),
        ("limit=501", "limit"),
        ("cursor=W10%3D", "cursor"),
        ("cursor=é", "cursor"),
        (f"cursor={write_cursor(9, NOW.isoformat(), 'no priority')}", "cursor"),
        (f"cursor={write_cursor(1, '0001-01-01T00:00:00+00:00', 'before all time')}", "cursor"),
    ):
        refused = ask(f"line/items?{query}")
        assert (refused["code"], refused["message"].partition(":")[0]) == ("bad_request", field)


@pytest.mark.parametrize("path", ["/dag-runs", "/dag-runs/paged"])
def test_runs_are_listed_page_by_page(stack: Stack, path: str) -> None:
    if not stack.get("/dag-runs/paged")["dagRuns"]:
        for number in range(3):
            stack.add_run("paged", f"p{number}", "succeeded", created_at=NOW + timedelta(days=1, seconds=number))

    def ask(query: str) -> Any:
        return stack.client.get(f"/api/v1{path}?{query}").get_json()

    first = ask("limit=2")
    assert [each["dagRunId"] for each in first["dagRuns"]] == ["p2", "p1"]
    assert ask(f"limit=1&cursor={first['nextCursor']}")["dagRuns"][0]["dagRunId"] == "p0"
    assert [each["dagRunId"] for each in ask("limit=1&dagRunId=p1")["dagRuns"]] == ["p1"]
    assert "nextCursor" not in ask(f"fromDate={int(NOW.timestamp())}")
    assert "nextCursor" not in stack.get(path)


def test_a_run_is_not_rescheduled_from_another_spec_than_its_own(stack: Stack) -> None:
    before = len(stack.seen)
    response = stack.client.post("/api/v1/dag-runs/nightly/r1/reschedule", json={"useCurrentDagFile": True})

    assert (response.status_code, response.get_json()["details"]) == (400, {"field": "useCurrentDagFile"})
    assert len(stack.seen) == before, "no command"


def test_the_documents_of_dagu_2_are_not_our_reference(stack: Stack) -> None:
    assert stack.client.get("/api/v1/docs").status_code == 404
    assert stack.client.get("/api/v2/docs").status_code == 200


def test_a_base_path_comes_before_the_prefix(tmp_path: Path) -> None:
    with open_stack(tmp_path, base_path="/flows") as stack:
        assert stack.client.get("/flows/api/v1/dags").status_code == 200
