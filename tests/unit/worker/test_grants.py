"""A worker asks whether it may begin an attempt, and something else happens meanwhile."""

from contextlib import closing
from pathlib import Path

import pytest

from services.worker.attempt.grants import Answer, Grants
from services.worker.process.stop_request import StopKind, StopRequest
from services.worker.reporting.reports import Reporter
from shared.clock import utc_now
from shared.contracts.events import AttemptRequested, Doubt
from shared.transport.base import EVENTS
from shared.transport.embedded.transport import EmbeddedTransport


@pytest.mark.parametrize(("kind", "answer"), [(StopKind.STOP, Answer.NONE), (StopKind.REVOKED, Answer.REFUSED)])
def test_an_attempt_that_is_granted_and_stopped_at_once_does_not_begin(
    tmp_path: Path, kind: StopKind, answer: Answer
) -> None:
    with closing(EmbeddedTransport(None)) as transport:
        transport.declare([EVENTS])
        grants, stop = Grants(Reporter(transport, tmp_path, lambda _token: None)), StopRequest()

        def request(waited_s: float) -> AttemptRequested:
            grants.granted("t")
            stop.request(kind)
            return AttemptRequested(
                token="t",
                run_key="r",
                node=0,
                worker_id="w",
                incarnation="i",
                at=utc_now(),
                doubt=Doubt.OLD,
                waited_s=waited_s,
            )

        assert grants.ask("t", stop, request, EVENTS) is answer
