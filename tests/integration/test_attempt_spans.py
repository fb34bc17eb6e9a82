"""Which spans a worker sends to the collector that a DAG names."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.worker.attempt.spans import AttemptSpans
from services.worker.inputs.environment import Inputs
from services.worker.process.outcome import Result
from shared.contracts.control import RunTraced
from shared.outbound import OutboundPolicy
from shared.tracing import SpanContext
from tests.harness.collector import Collector
from tests.harness.worker_rig import command, task

NOW = datetime(2030, 1, 1, tzinfo=UTC)
RUN = SpanContext.named("d/r1")


@pytest.mark.parametrize("first", ["attempt", "run"])
def test_the_span_of_a_run_is_sent_whichever_end_is_heard_first(tmp_path: Path, first: str) -> None:
    """A scheduler records a report and tells of the run's end while the worker still waits for its confirm."""
    spans = AttemptSpans("w1", "any")
    with Collector() as collector:
        otel = {"enabled": True, "endpoint": f"{collector.endpoint}/v1/traces"}
        attempt = task(command("true"), token="t1", options={"otel": otel})
        ended = RunTraced(run_key=attempt.run_key, name="DAG: d", parent="", start=NOW, end=NOW)
        inputs = Inputs(tmp_path, tmp_path, {}, {})
        if first == "run":
            spans.run_over(ended, str(RUN))
        spans.attempt_over(attempt, RUN, NOW, Result("succeeded", 0), inputs)
        if first == "attempt":
            spans.run_over(ended, str(RUN))
        spans.stop()

        assert sorted(each.name for each in collector.spans()) == ["DAG: d", "Step: s"]
        assert collector.one(name="Step: s").parent_id == collector.one(name="DAG: d").span_id


@pytest.mark.parametrize(
    ("outbound", "otel", "why"),
    [
        ("public", {"endpoint": "/v1/traces"}, "not a public address (DAGWAY_OUTBOUND=public)"),
        ("any", {"endpoint": "/$TOKEN/v1/traces"}, "HTTP 404"),
        ("any", {"endpoint": "/v1/traces", "headers": {"X-Key": "$TOKEN"}}, "Invalid header value"),
        ("any", {"endpoint": "/$TOKEN"}, "is not OTLP over HTTP: it must end in /v1/traces"),
    ],
)
def test_the_log_says_why_a_collector_gets_nothing_but_no_secret(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, outbound: OutboundPolicy, otel: dict[str, object], why: str
) -> None:
    secret = "open\nsesame"
    inputs = Inputs(tmp_path, tmp_path, {}, {"TOKEN": secret}, (secret,))
    spans = AttemptSpans("w1", outbound)
    with Collector() as collector:
        options = {"otel": {**otel, "enabled": True, "endpoint": f"{collector.endpoint}{otel['endpoint']}"}}
        spans.attempt_over(task(command("true"), options=options), RUN, NOW, Result("succeeded", 0), inputs)
        spans.stop()

        assert collector.spans() == []
    [said] = [each for each in caplog.records if each.message.startswith("spans.")]
    assert why in vars(said)["error"]
    assert "sesame" not in f"{caplog.text} {vars(said)}"


def test_a_timeout_that_is_no_duration_holds_up_nobody(tmp_path: Path) -> None:
    spans = AttemptSpans("w1", "any")
    with Collector() as collector:
        otel = {"enabled": True, "endpoint": f"{collector.endpoint}/v1/traces", "timeout": "1" * 100_000}
        inputs = Inputs(tmp_path, tmp_path, {}, {})
        spans.attempt_over(task(command("true"), options={"otel": otel}), RUN, NOW, Result("succeeded", 0), inputs)
        spans.stop()

        assert [each.name for each in collector.spans()] == ["Step: s"]
