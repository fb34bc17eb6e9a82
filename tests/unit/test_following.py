"""Following one run through all services: the fields bound to log lines, and the trace context."""

import json
import logging
from contextvars import Context
from datetime import datetime

import pytest

from shared.log import bind_thread, bound, current, set_up_logging
from shared.tracing import SpanContext, begin, here, within


def test_log_lines_have_the_bound_fields_only_inside_the_block(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info", "json", "api")
    with bound(run_id="r1", token="t"):
        with bound(token="u"):
            logging.info("inner")  # noqa: LOG015 - the root logger is what was set up
        logging.info("outer", extra={"run_id": "its own"})  # noqa: LOG015
    logging.info("after")  # noqa: LOG015

    inner, outer, after = map(json.loads, capsys.readouterr().err.splitlines())
    assert (inner["run_id"], inner["token"], inner["service"]) == ("r1", "u", "api")
    assert (outer["run_id"], outer["token"]) == ("its own", "t")
    assert "run_id" not in after
    assert all(datetime.fromisoformat(line["at"]).tzinfo for line in (inner, outer, after))


def test_a_thread_keeps_its_bound_fields_until_they_are_replaced() -> None:
    bind_thread(request_id="a")
    assert current("request_id") == "a"
    bind_thread()
    assert current("request_id") is None


def test_what_is_logged_within_a_trace_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    def speak() -> SpanContext | None:
        with within(SpanContext("a" * 32, "b" * 16)):
            logging.info("inner")  # noqa: LOG015
        logging.info("after")  # noqa: LOG015
        return here()

    set_up_logging("info", "json", "worker")
    # As a new thread has it: other tests' requests were answered on this one.
    left = Context().run(speak)

    inner, after = map(json.loads, capsys.readouterr().err.splitlines())
    assert inner["trace_id"] == "a" * 32
    assert "trace_id" not in after
    assert left is None


def test_a_traceparent_header_survives_formatting_and_parsing() -> None:
    context = begin()

    assert SpanContext.parse(str(context)) == context
    assert SpanContext.parse(f"00-{'1' * 32}-{'2' * 16}-00") == SpanContext("1" * 32, "2" * 16, sampled=False)
    # A later version may say more.
    assert SpanContext.parse(f"01-{'1' * 32}-{'2' * 16}-03-more") == SpanContext("1" * 32, "2" * 16)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{'0' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'2' * 16}-01-more",
        f"00-{'1' * 31}-{'2' * 16}-01",
        f"00-{'A' * 32}-{'2' * 16}-01",
    ],
)
def test_an_invalid_traceparent_header_is_ignored(header: str | None) -> None:
    assert SpanContext.parse(header) is None


@pytest.mark.parametrize("name", ["short", "", "0" * 32])
def test_any_name_makes_a_valid_context(name: str) -> None:
    context = SpanContext.named(name)

    assert SpanContext.parse(str(context)) == context == SpanContext.named(name)


def test_a_span_below_has_an_id_of_its_own_in_the_same_trace() -> None:
    run = begin().of_run("key", 1)

    assert run.child("a") == run.child("a") != run.child("b")
    assert run.child() != run.child()
    assert {run.child("a").trace_id, run.child().trace_id} == {run.trace_id}
    assert begin().of_run("key", 1).span_id == run.span_id
