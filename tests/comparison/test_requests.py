"""Requests get the same status and code from Dagway and from a real Dagu, but for the documented differences.

``COMPARE_DAGU`` names the program of Dagu; without it the test is skipped, and says so.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.comparison.sides import Side, dagu
from tests.harness.cluster import Embedded
from tests.harness.eventually import eventually

SPEC = "steps:\n  - name: one\n    command: echo hi\n"
CALLS = (
    "steps:\n  - name: c\n    call: child\n---\n"
    "name: child\nsteps:\n  - name: one\n    command: echo\n  - name: two\n    command: echo\n    depends: one\n"
)
SPECS = {"good": SPEC, "calls": CALLS, "broken": "steps: 5\n"}
VALUES: tuple[Any, ...] = (None, "", 1, 1.5, True, ["a"], {"a": "b"}, "x" * 300, "ünï", "a b", "../x", "${HOME}")
NUMBERS = ("", "0", "1", "-1", "abc", "1.5", "true", "1,2")
Answer = tuple[int, str | None]
Request = tuple[str, str, Any]
BODIES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "POST /dags/good/start": ({}, ("params", "dagName", "singleton")),
    "POST /dags/good/enqueue": ({}, ("params", "queue")),
    "POST /dags/good/suspend": ({"suspend": False}, ("suspend",)),
    "POST /dags/validate": ({"spec": SPEC}, ("spec", "name")),
    "POST /dag-runs": ({"spec": SPEC, "name": "inline"}, ("spec", "name", "params")),
    "POST /dags/none/rename": ({"newFileName": "other"}, ("newFileName",)),
    "PATCH /dag-runs/good/first/steps/one/status": ({"status": 4}, ("status",)),
    "POST /dag-runs/good/first/reschedule": ({}, ("dagName",)),
}
QUERIES = {
    "/dags": ("page", "perPage", "name", "sort", "order"),
    "/dag-runs": ("status", "fromDate", "toDate", "dagRunId", "name"),
    "/dag-runs/good/first/steps/one/log?stream=stdout": ("tail", "head", "offset", "limit"),
}
PATHS = ("", "/spec", "/dag-runs", "/dag-runs/first", "/dag-runs/latest")
RUN_PATHS = ("", "/log", "/spec", "/outputs", "/sub-dag-runs", "/sub-dag-runs/none", "/dequeue")


def requests(sub_run: str) -> Iterator[Request]:
    for operation, (base, fields) in BODIES.items():
        method, path = operation.split()
        yield method, path, base | {"unknown": 1}
        for field in fields:
            # What a start as the only run gets depends on whether an earlier one has ended.
            values = (each for each in VALUES if field != "singleton" or each is not True)
            yield from ((method, path, base | {field: value}) for value in values)
    for path, parameters in QUERIES.items():
        for parameter in parameters:
            yield from (("GET", f"{path}{'&' if '?' in path else '?'}{parameter}={each}", None) for each in NUMBERS)
    for name in ("good", "good.yaml", "none", "broken"):
        yield from (("GET", f"/dags/{name}{rest}", None) for rest in PATHS)
    for run in ("good/first", "good/none", "none/first"):
        yield from (("GET", f"/dag-runs/{run}{rest}", None) for rest in RUN_PATHS)
        for path in ("stop", "steps/one/approve", "steps/one/reject", "steps/none/approve"):
            yield "POST", f"/dag-runs/{run}/{path}", {}
    yield from (("POST", f"/dags/{name}/start", {}) for name in ("none", "broken"))
    yield from (("POST", f"/dags/{name}/stop-all", None) for name in ("none", "broken", "good"))
    for step, status in (("two", 2), ("two", 4), ("two", 99), ("none", 4)):
        yield "PATCH", f"/dag-runs/calls/first/sub-dag-runs/{sub_run}/steps/{step}/status", {"status": status}
    for each in (sub_run, "none"):
        for path in ("", "/log", "/steps/two/log?stream=stdout", "/steps/none/log?stream=stdout"):
            yield "GET", f"/dag-runs/calls/first/sub-dag-runs/{each}{path}", None
    yield "DELETE", "/dags/none", None


def documented(request: Request, theirs: Answer, ours: Answer) -> bool:
    """Return whether the table of differences says that this request gets these two answers."""
    method, path, body = request
    if theirs[0] == 500 or theirs == (400, None):
        refused = ours[0] in {400, 404, 409} and ours[1] is not None
        return refused or path.endswith("=") or (isinstance(body, dict) and isinstance(body.get("params"), dict | list))
    if "/broken/" in path and method == "POST":
        return theirs == (404, "not_found") and ours in {(400, "bad_request"), (200, None)}
    # A missing field, and the number of no status.
    nothing = isinstance(body, dict) and (None in body.values() or body.get("status") == 99)
    # The name is looked at before the DAG.
    nothing = nothing or path == "/dags/none/rename"
    # An empty spec.
    return ours == (400, "bad_request") and (nothing or (path == "/dags/validate" and body["spec"] == ""))


def ended(side: Side, run: str) -> None:
    def check() -> None:
        status, answer = side.ask("GET", f"/dag-runs/{run}")
        assert (status, answer["dagRunDetails"]["statusLabel"]) == (200, "succeeded")
        assert answer["dagRunDetails"]["finishedAt"] not in {"", "-"}

    eventually(check)


@pytest.mark.timeout(300)
def test_requests_get_the_same_status_and_code(tmp_path: Path) -> None:
    program = os.environ.get("COMPARE_DAGU", "")
    if not program:
        pytest.skip("NOT COMPARED WITH DAGU: set COMPARE_DAGU to the path of a Dagu 1.30.2")
    folders = (tmp_path / "theirs" / "dagu" / "dags", tmp_path / "dags")
    for folder in folders:
        folder.mkdir(parents=True)
        for name, spec in SPECS.items():
            (folder / f"{name}.yaml").write_text(spec)
    settings = {"DAGWAY_DAGS_DIR": str(folders[1])}
    with Embedded(tmp_path / "ours", env=settings) as system, dagu(Path(program), tmp_path / "theirs") as theirs:
        ours = Side(system.client.base)
        sub_runs = set()
        for side in (theirs, ours):
            for name in ("good", "calls"):
                eventually(lambda side=side, name=name: start(side, name))  # type: ignore[misc]
                ended(side, f"{name}/first")
            sub_runs |= {
                each["dagRunId"] for each in side.ask("GET", "/dag-runs/calls/first/sub-dag-runs")[1]["subRuns"]
            }
        (sub_run,) = sub_runs
        unexplained, seen = [], 0
        for request in requests(sub_run):
            answers = [_answer(side, request) for side in (theirs, ours)]
            seen += 1
            if answers[0] != answers[1] and not documented(request, *answers):
                unexplained.append((request, *answers))
    assert unexplained == []
    assert seen > 250


def start(side: Side, name: str) -> None:
    status, answer = side.ask("POST", f"/dags/{name}/start", {"dagRunId": "first"})
    assert status == 200, (status, answer)


def _answer(side: Side, request: Request) -> Answer:
    status, body = side.ask(*request)
    return status, body.get("code") if isinstance(body, dict) else None
