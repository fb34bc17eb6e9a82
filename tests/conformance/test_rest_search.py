"""What reads or changes many runs has a limit, and a cursor to go on with."""

import base64
from datetime import timedelta
from functools import partialmethod
from typing import Any

import pytest

from services.api.routes import bulk
from shared.contracts.commands import DequeueRun, StopRun
from shared.store.reads.reader import Reads
from tests.conformance.rest_stack import NOW, Stack, recorded, refused

WHOLE = "0198c0de-0000-7000-8000-00000000abcd"


def pages(stack: Stack, **query: str) -> list[dict[str, Any]]:
    """Return the pages of a list of runs, up to the last one."""
    found = [stack.get("/dag-runs", query_string={"cursor": "", **query})]
    while found[-1]["nextCursor"]:
        found.append(stack.get("/dag-runs", query_string={**query, "cursor": found[-1]["nextCursor"]}))
    return found


def ids(page: dict[str, Any]) -> list[str]:
    return [run["dagRunId"] for run in page["dagRuns"]]


def test_a_search_pauses_after_some_runs_says_so_and_goes_on(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reads, "search_end", partialmethod(Reads.search_end, most=3))
    for number in range(1, 8):
        stack.add_run("etl", f"r{number}", "succeeded", created_at=NOW + timedelta(seconds=number))
    stack.add_run("report", "old", "succeeded", created_at=NOW, started_by="ada")

    for query in ({"search": "REP"}, {"startedBy": "ada"}):
        first, second, third = pages(stack, **query)
        assert [ids(page) for page in (first, second, third)] == [[], [], ["old"]]
        assert first["searchedBackTo"] == "2025-11-24T12:00:05Z"
        assert "searchedBackTo" not in third
    # Where each page is full, no run is shown twice.
    assert [ids(page) for page in pages(stack, search="r", limit="2")] == [
        ["r7", "r6"], ["r5", "r4"], ["r3", "r2"], ["r1", "old"],
    ]  # fmt: skip
    assert ids(stack.get("/dag-runs?search=rep")) == []
    assert [len(page["dagRuns"]) for page in pages(stack)] == [8]


def test_runs_of_several_dags_with_one_id_that_were_created_at_once_are_on_some_page(stack: Stack) -> None:
    names = ["a", "b", "c", "d", "e"]
    for name in names:
        stack.add_run(name, "build-7", "succeeded", created_at=NOW)

    found = [run["name"] for page in pages(stack, limit="2") for run in page["dagRuns"]]
    assert sorted(found) == names


def test_the_whole_id_of_a_run_finds_it_however_old_it_is(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reads, "search_end", partialmethod(Reads.search_end, most=1))
    stack.add_run("etl", WHOLE, "succeeded", created_at=NOW)
    stack.add_run("etl", "newer", "succeeded", created_at=NOW + timedelta(seconds=1))

    [only] = pages(stack, search=WHOLE)
    assert ids(only) == [WHOLE]
    assert ids(stack.get(f"/dag-runs?search={WHOLE}")) == [WHOLE]
    assert stack.get(f"/dag-runs?cursor=&search={WHOLE}&status=2")["dagRuns"] == []


def test_stopping_a_queue_has_a_limit_and_goes_on_with_its_cursor(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "_MOST", 2)
    for number, status in enumerate(["queued"] * 3 + ["running"] * 3):
        stack.add_run("d", f"r{number}", status, queue="q")
    stack.answer = lambda command: refused("forbidden") if getattr(command, "dag_run_id", "") == "r1" else recorded()

    answers: list[dict[str, Any]] = []
    cursor = ""
    while not answers or cursor:
        response = stack.api("POST", "/queues/q/stop-all", query_string={"cursor": cursor})
        assert response.status_code == 200, response.get_data(as_text=True)
        answers.append(response.get_json())
        cursor = answers[-1]["nextCursor"]

    # Nothing changes in this database, so the cursor alone leads on; also past what is refused.
    sent = [(type(command), getattr(command, "dag_run_id", "")) for _, command in stack.seen]
    assert sent == [*((DequeueRun, f"r{number}") for number in range(3)), *((StopRun, f"r{n}") for n in range(3, 6))]
    assert [answer["errors"] for answer in answers] == [["d/r1: no"], [], []]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/dag-runs"), ("GET", "/audit"), ("GET", "/queues/q/items"), ("POST", "/queues/q/stop-all")],
)
@pytest.mark.parametrize(
    "text",
    [
        "x",
        "[]",
        "null",
        '[1, "a"]',
        '[true, "\\ud800", "x"]',
        '["2026-01-01T00:00:00Z", "\\u0000"]',
        '["0001-01-01T00:00:00+14:00", "x"]',
        '[1, "0001-01-01T00:00:00+14:00", "x"]',
        "0001-01-01T00:00:00+14:00 x",
    ],
)
def test_a_cursor_that_no_response_had_is_refused(stack: Stack, method: str, path: str, text: str) -> None:
    cursor = base64.urlsafe_b64encode(text.encode()).decode()

    response = stack.api(method, path, query_string={"cursor": cursor})

    assert (response.status_code, response.get_json()["details"]) == (400, {"field": "cursor"})
