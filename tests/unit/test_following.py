"""One id through all services: what is bound to the log, and the trace that a step is part of."""

import json
import logging

import pytest

from shared.log import bind_thread, bound, current, set_up_logging
from shared.tracing import trace_id, traceparent


def test_lines_carry_what_is_bound_and_only_inside(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        set_up_logging("info", "json", "api")
        with bound(run_id="r1", token="t"):
            with bound(token="u"):
                logging.info("inner")  # noqa: LOG015 - the root logger is what was set up
            logging.info("outer", extra={"run_id": "its own"})  # noqa: LOG015
        logging.info("after")  # noqa: LOG015
    finally:
        root.handlers[:] = before
        root.setLevel(level)

    inner, outer, after = map(json.loads, capsys.readouterr().err.splitlines())
    assert (inner["run_id"], inner["token"], inner["service"]) == ("r1", "u", "api")
    assert (outer["run_id"], outer["token"]) == ("its own", "t")
    assert "run_id" not in after


def test_a_thread_keeps_its_facts_until_told_others() -> None:
    bind_thread(request_id="a")
    assert current("request_id") == "a"
    bind_thread()
    assert current("request_id") is None


def test_a_runs_trace_is_the_same_wherever_it_is_asked_for() -> None:
    key = "0198f3f0-7a4b-7c00-8000-0123456789ab"

    assert trace_id(key) == "0198f3f07a4b7c0080000123456789ab"
    assert traceparent(key, "a").split("-")[1] == traceparent(key, "b").split("-")[1]
    assert traceparent(key, "a") != traceparent(key, "b")


@pytest.mark.parametrize("key", ["short", "", "0" * 32])
def test_any_key_makes_a_valid_header(key: str) -> None:
    version, trace, span, flags = traceparent(key, "t").split("-")

    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert int(trace, 16) * int(span, 16) > 0
