"""The attempts of a worker: waiting for them, and which of them its heartbeats list."""

import time

from services.worker.attempt.registry import AttemptRegistry
from services.worker.process.stop_request import StopKind, StopRequest


def test_quiet_counts_from_now_also_if_nothing_runs() -> None:
    """The last step of a run may have ended a moment ago, and its next step be on the way."""
    began_s = time.monotonic()
    AttemptRegistry().wait_quiet(0.1, 60)

    assert time.monotonic() - began_s >= 0.1


def test_the_wait_for_quiet_has_an_end() -> None:
    registry = AttemptRegistry()
    registry.begin("t")
    began_s = time.monotonic()
    registry.wait_quiet(60, 0.1)

    assert time.monotonic() - began_s >= 0.1
    assert registry.tokens() == ("t",)


def test_a_step_that_a_chain_gave_up_is_listed_until_that_is_reported() -> None:
    """Else it would count as lost, and fail, while the report that it did not run waits in the spool."""
    registry = AttemptRegistry()
    registry.begin("a")
    registry.go_on("a", "b")
    registry.end("a", reported=False, given_up="b")
    assert set(registry.tokens()) == {"a", "b"}

    registry.delivered("a")
    assert registry.tokens() == ()
    assert registry.wait_idle(0)


def test_a_copy_of_a_task_begins_nothing() -> None:
    registry = AttemptRegistry()
    assert isinstance(registry.begin("t"), StopRequest)
    assert registry.begin("t") is None
    registry.end("t", reported=True)
    assert registry.begin("t") is None


def test_a_chain_goes_on_only_to_a_step_that_is_new_here_and_not_to_be_stopped() -> None:
    registry = AttemptRegistry()
    registry.begin("a")
    registry.begin("running")
    registry.begin("ended")
    registry.end("ended", reported=True)
    registry.stop("stopped", StopKind.STOP)
    assert [registry.go_on("a", each) for each in ("running", "ended", "stopped")] == [None] * 3
    assert isinstance(registry.go_on("a", "b"), StopRequest)

    # The worker stops, but the end of this attempt is not requested: it began after that.
    registry.end("a", reported=True)
    registry.end("b", reported=True)
    registry.begin("c")
    registry.stop_all(StopKind.SHUTDOWN)
    registry.begin("d")
    assert registry.go_on("d", "e") is None
