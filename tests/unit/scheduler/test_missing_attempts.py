"""When an attempt counts as missing on a live worker, whose heartbeats do not name it."""

from datetime import UTC, datetime, timedelta

from services.scheduler.liveness.missing_attempts import MissingAttempts
from shared.contracts.events import Heartbeat

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LEASE = timedelta(seconds=10)
HELD = {"run_key": "run", "idx": 0, "token": "t", "token_worker": "w1", "token_state": "running"}


def beat(absences: MissingAttempts, at_s: float, *tokens: str, late_s: float = 0.5) -> None:
    """Let the scheduler receive a heartbeat that was sent ``at_s`` seconds after the beginning."""
    sent = BEGAN + timedelta(seconds=at_s)
    said = Heartbeat(
        worker_id="w1", incarnation="first", host="h", version="1", started_at=BEGAN, at=sent, slots=1, tokens=tokens
    )
    row = {**HELD, "token_incarnation": "first"}
    absences.hear([row], {"w1": said}, sent + timedelta(seconds=late_s))


def lost(absences: MissingAttempts, at_s: float) -> list[str]:
    return [absent.token for absent in absences.lasting(LEASE, BEGAN + timedelta(seconds=at_s))]


def test_an_attempt_missing_from_two_heartbeats_a_lease_apart_is_missing() -> None:
    absences = MissingAttempts()
    for at_s in (0, 4, 8, 12):
        beat(absences, at_s)

    assert lost(absences, 10.4) == []
    assert lost(absences, 10.5) == ["t"]


def test_one_heartbeat_from_before_the_start_is_no_absence_while_another_scheduler_receives_the_next() -> None:
    absences = MissingAttempts()
    beat(absences, 0)

    assert lost(absences, 60) == []
    beat(absences, 59, "t")
    beat(absences, 63)
    beat(absences, 67)
    assert lost(absences, 90) == []


def test_heartbeats_received_late_count_from_their_receipt() -> None:
    absences = MissingAttempts()
    beat(absences, 0, late_s=20)
    beat(absences, 11, late_s=9.1)

    assert lost(absences, 29.9) == []
    assert lost(absences, 30) == ["t"]


def test_an_attempt_that_was_missing_before_the_clock_was_set_back_is_missing_from_then_on() -> None:
    absences = MissingAttempts()
    beat(absences, 0, late_s=3600)
    beat(absences, 4)
    beat(absences, 12)

    assert lost(absences, 14.4) == []
    assert lost(absences, 14.5) == ["t"]


def test_a_missing_attempt_is_lost_once_even_if_its_worker_is_never_heard_again() -> None:
    absences = MissingAttempts()
    for at_s in (0, 10):
        beat(absences, at_s)
    assert lost(absences, 12) == ["t"]
    assert lost(absences, 13) == ["t"], "its run was locked, so the next pass tries again"

    absences.forget(["t"])

    assert lost(absences, 60) == []
