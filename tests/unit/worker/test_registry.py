"""Waiting for the attempts of a worker."""

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
