"""The trace of one request through real services, by the spans that they send to a collector."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.harness.client import Client
from tests.harness.cluster import Cluster, Deployment, Embedded, pid_in, running
from tests.harness.collector import Collector, Seen
from tests.harness.eventually import eventually, free_port

_GIVEN = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
_SERVER, _CONSUMER = 2, 5

_FLAKY = """
steps:
  - name: flaky
    command: test -e {marker} || {{ touch {marker}; exit 3; }}
    retryPolicy: {{limit: 1, intervalSec: 1}}
  - name: look
    command: echo $TRACEPARENT
    output: SEEN
  - name: child
    call: below
---
name: below
steps:
  - name: inner
    command: "true"
"""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp(request.param)
    made: Deployment
    if request.param == "embedded":
        made = Embedded(folder)
    else:
        servers = running(*request.getfixturevalue("servers"))
        made = Cluster(folder, *servers, schedulers=2, lease_s=5)
    for process in made.processes:
        process.env |= collector.env | {"DAGWAY_LOG_FORMAT": "json"}
    with made:
        yield made


def post(client: Client, path: str, body: dict[str, Any], traceparent: str) -> None:
    headers = {"traceparent": traceparent, "Content-Type": "application/json"}
    answer = urllib3.request("POST", f"{client.base}/api/v2{path}", headers=headers, body=json.dumps(body).encode())
    assert answer.status == 200, answer.data


def log_of(system: Deployment) -> list[dict[str, Any]]:
    """Return what all processes have logged so far. The last line may be half-written."""
    lines = [line for process in system.processes for line in process.output().split("\n")[:-1]]
    return [json.loads(line) for line in lines if line.startswith("{")]


def traceparent(trace_id: str, flags: str = "01") -> str:
    return f"00-{trace_id}-{_GIVEN[1]}-{flags}"


def test_one_request_is_one_trace_through_all_services(
    system: Deployment, collector: Collector, tmp_path: Path
) -> None:
    client, trace_id = system.client, f"{_GIVEN[0][:-1]}{len(system.processes)}"
    client.create("traced", _FLAKY.format(marker=tmp_path / "marker"))
    post(client, "/dags/traced/start", {"dagRunId": "r1"}, traceparent(trace_id))
    client.until("succeeded", "traced", "r1")
    service = {"api": "dagway", "scheduler": "dagway", "worker": "dagway"}
    if len(system.processes) > 1:
        service = {name: f"dagway-{name}" for name in service}

    def of(name: str) -> Seen:
        return collector.one(trace_id=trace_id, name=name)

    def all_there() -> None:
        _two(collector.spans(trace_id=trace_id, name="Step: flaky"))
        # Each process sends its spans in its own time.
        for name in ("Step: look", "Step: child", "Step: inner", "DAG: below"):
            assert len(collector.spans(trace_id=trace_id, name=name)) == 1, name
        request, command, run = of("POST /dags/{fileName}/start"), of("run.start"), of("DAG: traced")
        assert (request.parent_id, request.kind, request.service) == (_GIVEN[1], _SERVER, service["api"])
        assert (command.parent_id, command.kind, command.service) == (
            request.span_id,
            _CONSUMER,
            service["scheduler"],
        )
        assert (run.parent_id, run.service, run.error) == (command.span_id, service["scheduler"], "")

    eventually(all_there)
    run = of("DAG: traced")
    assert run.facts["dag.run_id"] == "r1"
    assert run.facts["dag.status"] == "succeeded"
    first, second = collector.spans(trace_id=trace_id, name="Step: flaky")
    look, child, inner, below = of("Step: look"), of("Step: child"), of("Step: inner"), of("DAG: below")
    for step in (first, second, look, child):
        assert (step.parent_id, step.service) == (run.span_id, service["worker"])
        assert step.facts["dag.run_id"] == "r1"
        assert run.start_ns <= step.start_ns <= step.end_ns <= run.end_ns
    # A retry is a timer later and a span of its own.
    assert (first.facts["step.exit_code"], first.error != "") == ("3", True)
    assert second.start_ns - first.end_ns > 900_000_000
    assert "step.exit_code" not in second.facts
    # The step may go on in the trace, as the child of its own span.
    assert client.outputs("traced", "r1")["seen"] == f"00-{trace_id}-{look.span_id}-01"
    # So does the run it calls.
    assert below.parent_id == child.span_id
    assert below.facts["dag.parent_run_id"] == "r1"
    assert inner.parent_id == below.span_id
    # The start of ``look`` is in the report of the end of ``flaky``, so the attempt before that is looked at. A worker
    # whose heartbeat took long, as on a loaded machine, asks for the attempt instead of reporting its start, or both.
    begun = {"record attempt.started", "record task.redelivered"}

    def recorded() -> list[Seen]:
        found = collector.spans(trace_id=trace_id, parent_id=first.span_id)
        names = {each.name for each in found}
        assert names & begun, names
        assert names - begun == {"record attempt.finished"}
        return found

    assert {each.service for each in eventually(recorded)} == {service["scheduler"]}


def _two(found: list[Seen]) -> list[Seen]:
    assert len(found) == 2, found
    return found


def test_a_retry_by_hand_goes_on_in_the_runs_trace(system: Deployment, collector: Collector, tmp_path: Path) -> None:
    client, trace_id = system.client, f"{_GIVEN[0][:-2]}a{len(system.processes)}"
    gate = tmp_path / "gate"
    client.create("again", f"steps:\n  - name: only\n    command: test -e {gate}\n")
    post(client, "/dags/again/start", {"dagRunId": "r1"}, traceparent(trace_id))
    client.until("failed", "again", "r1")
    gate.touch()
    other = f"{_GIVEN[0][:-2]}b{len(system.processes)}"
    post(client, "/dag-runs/again/r1/retry", {"dagRunId": "r1"}, traceparent(other))
    client.until("succeeded", "again", "r1")

    def both() -> None:
        failed, succeeded = _two(collector.spans(trace_id=trace_id, name="DAG: again"))
        assert (failed.facts["dag.status"], succeeded.facts["dag.status"]) == ("failed", "succeeded")
        assert failed.error
        assert failed.parent_id == succeeded.parent_id != ""
        assert failed.span_id != succeeded.span_id
        steps = collector.spans(trace_id=trace_id, name="Step: only")
        assert [step.parent_id for step in steps] == [failed.span_id, succeeded.span_id]
        # The command belongs to whoever asked.
        assert collector.one(trace_id=other, name="run.retry").facts["dag.run_id"] == "r1"

    eventually(both)


def test_a_caller_who_keeps_no_spans_gets_none_and_its_steps_know(system: Deployment, collector: Collector) -> None:
    client, trace_id = system.client, f"{_GIVEN[0][:-2]}c{len(system.processes)}"
    client.create("quiet", "steps:\n  - command: echo $TRACEPARENT\n    output: SEEN\n")
    post(client, "/dags/quiet/start", {"dagRunId": "r1"}, traceparent(trace_id, "00"))
    client.until("succeeded", "quiet", "r1")
    client.start("quiet", "r2")
    client.until("succeeded", "quiet", "r2")

    version, trace, _, flags = client.outputs("quiet", "r1")["seen"].split("-")
    assert (version, trace, flags) == ("00", trace_id, "00")
    # What came later has arrived, so what was before it would have, too.
    eventually(lambda: [each for each in collector.spans(name="DAG: quiet") if each.facts["dag.run_id"] == "r2"] != [])
    assert collector.spans(trace_id=trace_id) == []


def test_one_id_finds_a_run_in_every_services_log(system: Deployment) -> None:
    client, trace_id = system.client, f"{_GIVEN[0][:-2]}d{len(system.processes)}"
    client.create("logged", "steps:\n  - name: only\n    command: 'true'\n")
    post(client, "/dags/logged/start", {"dagRunId": "r-logged"}, traceparent(trace_id))
    client.until("succeeded", "logged", "r-logged")

    def there() -> None:
        found = {line["event"]: line for line in log_of(system) if line.get("trace_id") == trace_id}
        assert {"request.answered", "command.recorded", "attempt.taken", "attempt.over", "run.ended"} <= set(found)
        services = {"dagway"} if len(system.processes) == 1 else {"api", "scheduler", "worker"}
        assert {line["service"] for line in found.values()} == services
        # The other ids stand beside it.
        request, command = found["request.answered"], found["command.recorded"]
        assert request["request_id"] == command["request_id"]
        assert command["command_id"]
        for event in ("command.recorded", "attempt.taken", "run.ended"):
            assert found[event]["run_id"] == "r-logged"
        assert (found["attempt.taken"]["step"], found["run.ended"]["status"]) == ("only", "succeeded")
        assert found["attempt.taken"]["token"]

    eventually(there)


def test_the_log_says_why_a_run_failed_and_not_what_its_step_printed(system: Deployment) -> None:
    client, run_id = system.client, f"r-failed-{len(system.processes)}"
    client.create(
        "fails-in-log",
        "steps:\n  - name: first\n    command: 'true'\n  - name: bad\n    script: echo private >&2; exit 3\n",
    )
    client.start("fails-in-log", run_id)
    client.until("failed", "fails-in-log", run_id)

    why = 'failed to execute step "bad": exit status 3'

    def there() -> None:
        found = [line for line in log_of(system) if line.get("run_id") == run_id]
        over = {line["step"]: line for line in found if line["event"] == "attempt.over"}
        assert {step: line["outcome"] for step, line in over.items()} == {"first": "succeeded", "bad": "failed"}
        assert (over["bad"]["exit_code"], over["bad"]["error"]) == (3, why)
        # A scheduler says so after the run's end can be read.
        ended = [(line["status"], line["step"], line["error"]) for line in found if line["event"] == "run.ended"]
        assert ended == [("failed", "bad", why)]

    eventually(there)
    lines = [line for process in system.processes for line in process.output().splitlines() if run_id in line]
    assert "private" not in "".join(lines)


def test_a_dags_own_collector_is_told_of_its_runs(system: Deployment) -> None:
    client = system.client
    with Collector() as own:
        client.create(
            "own",
            f"""
env: [KEY: s3cret]
otel:
  enabled: true
  endpoint: {own.endpoint}/v1/traces
  headers: {{Authorization: "Bearer ${{KEY}}"}}
  resource: {{deployment.environment: test}}
steps:
  - name: only
    command: "true"
""",
        )
        client.start("own", "r1")
        client.until("succeeded", "own", "r1")

        def told() -> tuple[Seen, Seen]:
            return own.one(name="DAG: own"), own.one(name="Step: only")

        # Batches go every five seconds.
        run, step = eventually(told)
        assert step.parent_id == run.span_id
        assert run.facts["dag.status"] == "succeeded"
        assert (run.resource["deployment.environment"], run.service) == ("test", "dagway")
        assert own.headers["Authorization"] == "Bearer s3cret"
        assert len(own.spans()) == 2


@pytest.mark.parametrize("system", ["distributed"], indirect=True)
def test_the_span_of_a_killed_workers_attempt_is_told_by_a_scheduler(
    system: Deployment, collector: Collector, tmp_path: Path
) -> None:
    client, mark = system.client, tmp_path / "pid"
    client.create("lost", f"steps:\n  - name: long\n    command: echo $$ > {mark}; sleep 600\n")
    client.start("lost", "r1")
    pid_in(mark)
    system.workers[0].kill9()
    client.until("failed", "lost", "r1")
    system.start(system.workers[0])

    step = eventually(lambda: collector.one(name="Step: long"))
    run = eventually(lambda: collector.one(name="DAG: lost"))
    assert (step.parent_id, step.facts["step.status"], step.service) == (run.span_id, "lost", "dagway-scheduler")


def test_a_collector_that_is_away_costs_neither_runs_nor_time(tmp_path: Path) -> None:
    system = Embedded(tmp_path)
    system.process.env |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    with system:
        system.client.create("one", "steps:\n  - command: 'true'\n")
        system.client.start("one", "r1")
        system.client.until("succeeded", "one", "r1")
        assert system.process.terminate(timeout_s=40) == 0
