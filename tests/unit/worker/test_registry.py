"""The attempts of a worker: waiting for them, and which of them its heartbeats list."""

import time

from services.worker.attempt.registry import AttemptRegistry


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
