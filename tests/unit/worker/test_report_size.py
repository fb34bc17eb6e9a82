"""Which end reports are too large for a message."""

from typing import Any, cast

import pytest

from services.worker.reporting.report_size import that_fits
from shared.contracts.events import AttemptFinished, ChildCall
from shared.transport.base import MAX_MESSAGE_BYTES
from tests.harness.message_examples import example_of

SIZE = MAX_MESSAGE_BYTES // 100


def report(**facts: Any) -> AttemptFinished:
    nothing = {"outputs": {}, "messages": (), "children": (), "outcome": "succeeded", "error": ""}
    made = example_of(AttemptFinished, {"worker_id": "w1"}).model_copy(update=nothing | facts)
    return cast("AttemptFinished", made)


@pytest.mark.parametrize(
    "facts",
    [
        {"outputs": {"OUT": "x" * MAX_MESSAGE_BYTES}},
        {"outputs": {f"N{number:099}": "" for number in range(SIZE)}},
        {"children": tuple(ChildCall(dag="d", params="x" * 1000) for _ in range(SIZE // 10))},
    ],
    ids=["a value", "names", "calls"],
)
def test_a_report_that_no_message_can_carry_has_no_values(facts: dict[str, Any]) -> None:
    sent = that_fits(report(**facts))

    assert (sent.outcome, sent.outputs, sent.children) == ("failed", {}, ())
    assert f"the limit is {MAX_MESSAGE_BYTES}" in sent.error
    assert that_fits(report(outcome="timed_out", error="too long", **facts)).error == "too long"


def test_a_report_of_some_megabytes_is_sent_as_it_is() -> None:
    event = report(outputs={"OUT": "x" * (MAX_MESSAGE_BYTES // 2)})

    assert that_fits(event) is event
