"""Requests that change something: the commands they send and their responses."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.commands import (
    CreateDag,
    DeleteDag,
    DequeueRun,
    EnqueueRun,
    PatchStep,
    PutSpec,
    RenameDag,
    RetryRun,
    StartRun,
    StopRun,
    SuspendDag,
)
from shared.ids import valid_run_id
from tests.conformance.rest_stack import Stack, open_stack, recorded, refused


def answer_with_the_id(command: Any) -> dict[str, Any]:
    return recorded(dagRunId=command.dag_run_id)


# -- what is sent -------------------------------------------------------------------------------


def test_start_sends_the_fields_of_the_request(stack: Stack) -> None:
    stack.answer = answer_with_the_id
    body = {"params": "{}", "dagRunId": "deploy-v1.2.3", "dagName": " other ", "singleton": True, "unknown": 1}

    response = stack.api("POST", "/dags/a.yaml/start", json=body)

    assert (response.status_code, response.get_json()) == (200, {"dagRunId": "deploy-v1.2.3"})
    assert stack.asked == StartRun(
        file_name="a",
        dag_run_id="deploy-v1.2.3",
        dag_name="other",
        params="{}",
        own_params=True,
        own_run_id=True,
        singleton=True,
    )


@pytest.mark.parametrize("data", [b"", b" \n", b"{}", b"null"])
def test_start_needs_no_body_and_makes_an_id(stack: Stack, data: bytes) -> None:
    stack.answer = answer_with_the_id

    response = stack.api("POST", "/dags/a/start", data=data, content_type="application/json")

    assert response.status_code == 200
    assert response.get_json() == {"dagRunId": stack.command.dag_run_id}
    assert valid_run_id(stack.command.dag_run_id)
    assert type(stack.command) is StartRun
    assert (stack.command.own_params, stack.command.own_run_id) == (False, False)


@pytest.mark.parametrize("params", [{"env": "prod", "n": 1000000}, ["a", {"k": "ä"}]])
def test_params_can_be_a_json_value(stack: Stack, params: Any) -> None:
    stack.api("POST", "/dags/a/start", json={"params": params})

    assert json.loads(stack.command.params) == params
    assert "1e+06" not in stack.command.params


def test_enqueue_sends_its_queue(stack: Stack) -> None:
    stack.answer = answer_with_the_id

    response = stack.api("POST", "/dags/a/enqueue", json={"queue": "batch", "dagRunId": "r"})

    assert (response.status_code, response.get_json()) == (200, {"dagRunId": "r"})
    assert stack.asked == EnqueueRun(file_name="a", dag_run_id="r", own_run_id=True, queue="batch")


def test_create_without_a_spec_sends_a_template_that_can_run(stack: Stack) -> None:
    stack.answer = lambda command: recorded(name=getattr(command, "file_name", ""))

    response = stack.api("POST", "/dags", json={"name": "a.yaml"})

    assert (response.status_code, response.get_json()) == (201, {"name": "a"})
    assert isinstance(stack.command, CreateDag)
    assert stack.command.file_name == "a"
    validated = stack.api("POST", "/dags/validate", json={"spec": stack.command.spec, "name": "a"}).get_json()
    assert validated["valid"] is True


def test_create_keeps_the_spec_as_it_is(stack: Stack) -> None:
    stack.api("POST", "/dags", json={"name": "a", "spec": "steps: [echo hi] # ä\n"})

    assert stack.command.spec == "steps: [echo hi] # ä\n"


def test_an_invalid_spec_is_put_with_200_and_its_errors(stack: Stack) -> None:
    stack.answer = lambda _: recorded(errors=["line 1: no"])

    response = stack.api("PUT", "/dags/a.yaml/spec", json={"spec": "steps: ["})

    assert (response.status_code, response.get_json()) == (200, {"errors": ["line 1: no"]})
    assert stack.asked == PutSpec(file_name="a", spec="steps: [")


def test_a_valid_spec_is_answered_with_no_errors_to_everybody(stack: Stack) -> None:
    stack.answer = lambda _: recorded(errors=[])

    client = stack.api("PUT", "/dags/a/spec", json={"spec": "steps: []"})
    browser = stack.api("PUT", "/dags/a/spec", json={"spec": "steps: []"}, headers={"Sec-Fetch-Site": "same-origin"})

    assert client.get_json() == browser.get_json() == {"errors": []}


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("DELETE", "/dags/a.yaml", None, (204, DeleteDag(file_name="a"))),
        ("POST", "/dags/a/rename", {"newFileName": "b"}, (200, RenameDag(file_name="a", new_file_name="b"))),
        ("POST", "/dags/a.yml/suspend", {"suspend": True}, (200, SuspendDag(file_name="a", suspend=True))),
        ("POST", "/dags/a/suspend", None, (200, SuspendDag(file_name="a", suspend=False))),
        ("POST", "/dag-runs/a/r/stop", None, (200, StopRun(dag_name="a", dag_run_id="r"))),
        ("POST", "/dag-runs/a.yaml/r/stop", None, (200, StopRun(dag_name="a", dag_run_id="r"))),
        ("POST", "/dag-runs/a/r/retry", None, (200, RetryRun(dag_name="a", dag_run_id="r"))),
        (
            "POST",
            "/dag-runs/a/r/retry",
            {"dagRunId": "n", "stepName": "s"},
            (200, RetryRun(dag_name="a", dag_run_id="r", new_run_id="n", step_name="s")),
        ),
        ("GET", "/dag-runs/a/r/dequeue", None, (200, DequeueRun(dag_name="a", dag_run_id="r"))),
        ("POST", "/dag-runs/a/r/dequeue", None, (200, DequeueRun(dag_name="a", dag_run_id="r"))),
        (
            "PATCH",
            "/dag-runs/a/r/steps/x%2Fy%20%25/status",
            {"status": 6},
            (200, PatchStep(dag_name="a", dag_run_id="r", step_name="x/y %", status="partially_succeeded")),
        ),
    ],
)
def test_each_operation_sends_its_command_and_answers_without_a_body(
    stack: Stack, method: str, path: str, body: Any, expected: tuple[int, Any]
) -> None:
    status, command = expected

    response = stack.api(method, path, json=body)

    assert (response.status_code, response.data) == (status, b"")
    assert stack.asked == command


def test_stop_all_stops_each_running_run_and_forgives_those_that_ended(stack: Stack) -> None:
    stack.add_dag("a")
    for run_id, status in (("1", "running"), ("2", "running"), ("3", "running"), ("4", "queued")):
        stack.add_run("a", run_id, status)
    replies = {"1": recorded(), "2": refused("not_running"), "3": refused("forbidden", "not yours")}
    stack.answer = lambda command: replies[command.dag_run_id]  # type: ignore[attr-defined]

    response = stack.api("POST", "/dags/a/stop-all")

    assert (response.status_code, response.get_json()) == (200, {"errors": ["3: not yours"]})
    assert {command.dag_run_id for _, command in stack.seen if isinstance(command, StopRun)} == {"1", "2", "3"}
    assert stack.api("POST", "/dags/none/stop-all").status_code == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/dags/a/stop-all", None),
        ("/dag-runs/bulk/stop", {"runs": [{"name": "a", "dagRunId": "1"}]}),
        ("/queues/a/stop-all", None),
    ],
)
def test_each_run_has_a_command_of_its_own_for_every_key(stack: Stack, path: str, body: Any) -> None:
    stack.add_dag("a")
    stack.add_run("a", "1", "running")
    first, second = (f"{'k' * 199}{number}" for number in range(2))

    for key in (first, second, first):
        stack.api("POST", path, json=body, headers={"Idempotency-Key": key})

    ids = [command_id for command_id, _ in stack.seen]
    assert ids[0] == ids[2]
    assert ids[0] != ids[1]


# -- what comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/dags", {"name": "a"}, ("already_exists", 409)),
        ("POST", "/dags/a/start", {}, ("already_running", 409)),
        ("POST", "/dags/a/start", {}, ("not_found", 404)),
        ("POST", "/dags/a/enqueue", {}, ("max_run_reached", 409)),
        ("POST", "/dags/a/rename", {"newFileName": "b"}, ("already_running", 400)),
        ("PUT", "/dags/a/spec", {"spec": ""}, ("not_found", 404)),
        ("POST", "/dag-runs/a/r/stop", None, ("not_running", 400)),
        ("POST", "/dag-runs/a/r/retry", {}, ("already_running", 400)),
        ("GET", "/dag-runs/a/r/dequeue", None, ("bad_request", 400)),
    ],
)
def test_a_refusal_keeps_its_code_and_message(
    stack: Stack, method: str, path: str, body: Any, expected: tuple[str, int]
) -> None:
    code, status = expected
    stack.answer = lambda _: refused(code, "because")

    response = stack.api(method, path, json=body)

    assert (response.status_code, response.get_json()) == (status, {"code": code, "message": "because"})


def test_without_an_answer_in_time_the_command_is_accepted(tmp_path: Path) -> None:
    with open_stack(tmp_path, reply_timeout_s=0.05) as stack:
        stack.answer = lambda _: None

        start = stack.api("POST", "/dags/a/start", json={"dagRunId": "r"}, headers={"Idempotency-Key": "key-1"})
        stop = stack.api("POST", "/dag-runs/a/r/stop")

        assert (start.status_code, start.get_json()) == (202, {"commandId": "key-1", "dagRunId": "r"})
        assert start.headers["Location"] == "/api/v2/commands/key-1"
        assert stop.status_code == 202
        assert set(stop.get_json()) == {"commandId"}
        assert stop.headers["Location"] == f"/api/v2/commands/{stop.get_json()['commandId']}"


def test_what_is_certain_to_be_refused_is_never_accepted(tmp_path: Path) -> None:
    faulty, fine = {"name": "a", "spec": "steps: 1"}, {"name": "a", "spec": "steps: [echo]"}
    with open_stack(tmp_path, reply_timeout_s=0.05) as stack:
        stack.answer = lambda _: None

        assert stack.api("POST", "/dags", json=fine).status_code == 202
        for path in ("/dags", "/dag-runs", "/dag-runs/enqueue"):
            response = stack.api("POST", path, json=faulty)
            assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")
            assert "steps" in response.get_json()["message"]
        response = stack.api("PUT", "/dags/a/spec", json=faulty)
        assert (response.status_code, len(response.get_json()["errors"])) == (200, 1)


def test_a_client_that_prefers_not_to_wait_is_answered_at_once(tmp_path: Path) -> None:
    never = 3600.0
    with open_stack(tmp_path, reply_timeout_s=never) as stack:
        stack.answer = lambda _: None
        headers = {"Prefer": "return=minimal, respond-async;wait=1", "Idempotency-Key": "a/b"}

        response = stack.api("POST", "/dags/a/start", json={"dagRunId": "r"}, headers=headers)

        assert (response.status_code, response.get_json()) == (202, {"commandId": "a/b", "dagRunId": "r"})
        assert response.headers["Location"] == "/api/v2/commands/a%2Fb"
        assert response.headers["Preference-Applied"] == "respond-async"


def test_without_the_broker_a_command_is_a_503_at_once(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="services.api")
    stack.transport.close()

    response = stack.api("POST", "/dags/a/start")

    assert (response.status_code, response.get_json()["code"]) == (503, "service_unavailable")
    (line,) = [record for record in caplog.records if record.message.startswith("request.")]
    assert (line.message, line.__dict__["operation"].split()[0]) == ("request.unavailable", "POST")
    assert response.headers["Retry-After"]
    health = stack.api("GET", "/health")
    assert (health.status_code, health.get_json()["code"]) == (503, "service_unavailable")
    assert health.get_json()["message"] == health.get_json()["error"]
    assert health.headers["Retry-After"]
    assert stack.api("GET", "/dags").status_code == 200


def test_the_idempotency_key_is_the_command_id_and_decides_the_run_id(stack: Stack) -> None:
    stack.answer = answer_with_the_id
    headers = {"Idempotency-Key": "order-17"}

    first = stack.api("POST", "/dags/a/start", headers=headers).get_json()
    second = stack.api("POST", "/dags/a/start", headers=headers).get_json()

    assert first == second
    assert [command_id for command_id, _ in stack.seen] == ["order-17", "order-17"]
    first, second = [command.model_copy(update={"actor": None}) for _, command in stack.seen]
    assert first == second


@pytest.mark.parametrize("key", ["a b", "x" * 201, "ä"])
def test_a_key_that_cannot_be_one_is_refused(stack: Stack, key: str) -> None:
    response = stack.api("POST", "/dags/a/start", headers={"Idempotency-Key": key})

    assert (response.status_code, response.get_json()["code"]) == (400, "bad_request")
    assert stack.seen == []


def test_concurrent_requests_get_the_replies_to_their_own_commands(stack: Stack) -> None:
    stack.answer = answer_with_the_id
    answers: dict[str, Any] = {}

    def start(run_id: str) -> None:
        client = stack.app.test_client()
        answers[run_id] = client.post("/api/v2/dags/a/start", json={"dagRunId": run_id}).get_json()["dagRunId"]

    threads = [threading.Thread(target=start, args=(f"r{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {f"r{number}": f"r{number}" for number in range(20)}
