"""Which heartbeats are recorded immediately, and which only renew a lease at the next pass."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.scheduler.liveness.heartbeats import HeartbeatBuffer, of_former_process
from shared.contracts.events import Heartbeat

T0 = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def beat(after_s: float = 0, **facts: Any) -> Heartbeat:
    made = {"worker_id": "w", "incarnation": "i", "host": "h", "version": "0", "started_at": T0, "slots": 4, **facts}
    return Heartbeat(at=T0 + timedelta(seconds=after_s), **made)


def heard(one: HeartbeatBuffer, beat: Heartbeat) -> list[Heartbeat]:
    """Receive a heartbeat, and record it if it has news; return what was recorded."""
    has_news = one.hear(beat, beat.at)
    news = one.news()
    assert has_news == bool(news)
    one.recorded(news)
    return [each.heartbeat for each in news]


def quiet(one: HeartbeatBuffer, incarnation: str = "i", state: str = "live") -> list[Heartbeat]:
    rows = [{"worker_id": "w", "incarnation": incarnation, "state": state}]
    return [each.heartbeat for each in one.still_true(one.quiet(), rows)]


def test_only_the_newest_heartbeat_without_news_is_kept_for_the_next_pass() -> None:
    one = HeartbeatBuffer()
    assert heard(one, beat(0)) == [beat(0)]
    assert heard(one, beat(2)) == []
    assert heard(one, beat(4)) == []

    assert quiet(one) == [beat(4)]
    assert one.quiet() == []


def test_whatever_changes_is_news_and_replaces_what_was_kept() -> None:
    one = HeartbeatBuffer()
    heard(one, beat(0))
    changes: list[dict[str, Any]] = [
        {"tokens": ("a",)},
        {"tokens": ()},
        {"slots": 5},
        {"labels": {"gpu": "true"}},
        {"draining": True},
        {"stopped": True},
        {"incarnation": "j"},
    ]
    for after_s, changed in enumerate(changes, start=1):
        assert heard(one, beat(after_s, **changed)) == [beat(after_s, **changed)]
        assert one.quiet() == []
        assert heard(one, beat(after_s + 0.5, **changed)) == []


def test_what_another_scheduler_recorded_later_stays_and_the_next_heartbeat_is_news() -> None:
    for other in ({"incarnation": "j"}, {"state": "stopped"}, {"state": "draining"}):
        one = HeartbeatBuffer()
        heard(one, beat(0))
        heard(one, beat(2))

        assert quiet(one, **other) == []
        assert heard(one, beat(4)) == [beat(4)]


def test_a_worker_taken_for_lost_is_believed_again() -> None:
    one = HeartbeatBuffer()
    heard(one, beat(0))
    heard(one, beat(2))

    assert quiet(one, state="lost") == [beat(2)]


def test_of_very_many_workers_those_that_have_stopped_are_forgotten() -> None:
    one = HeartbeatBuffer()
    heard(one, beat(worker_id="live"))
    for number in range(1001):
        heard(one, beat(worker_id=f"pod-{number}", stopped=True))

    assert heard(one, beat(2, worker_id="live")) == []
    assert heard(one, beat(2, worker_id="pod-0", stopped=True)) != [], "it would be remembered for ever"


def test_of_very_many_workers_those_that_were_killed_long_ago_are_forgotten() -> None:
    one = HeartbeatBuffer()
    for number in range(1000):
        heard(one, beat(worker_id=f"pod-{number}"))
    heard(one, beat(worker_id="idle"))
    later = 5 * 3600
    assert heard(one, beat(later, worker_id="idle")) == []

    heard(one, beat(later, worker_id="new"))

    assert heard(one, beat(later + 1, worker_id="idle")) == [], "it is known, although it has had no news for hours"
    assert heard(one, beat(later + 1, worker_id="pod-7")) != [], "it was forgotten"


def test_a_heartbeat_of_a_former_process_takes_the_place_of_none_of_the_running_one() -> None:
    """Whoever has recorded many can send them all, one after each of the running process."""
    one = HeartbeatBuffer()
    running = {"incarnation": "j", "started_at": T0 + timedelta(seconds=10)}
    heard(one, beat(11, **running))

    one.hear(beat(12, **running), T0)
    assert not one.hear(beat(8), T0)
    assert quiet(one, "j") == [beat(12, **running)]

    one.hear(beat(13, **running, tokens=("a",)), T0)
    assert not one.hear(beat(9, stopped=True), T0)
    assert [each.heartbeat for each in one.news()] == [beat(13, **running, tokens=("a",))]


@pytest.mark.parametrize(
    ("beat_s", "changed", "late"),
    [
        (9, {}, True),
        (9, {"state": "draining"}, True),
        (11, {}, False),  # two workers have this id
        (9, {"incarnation": "i"}, False),
        (9, {"state": "stopped"}, False),
        (9, {"state": "lost"}, False),
        (9, {"lease_until": T0 + timedelta(seconds=19)}, False),  # the clock of a restarted worker was set back
    ],
)
def test_what_was_sent_before_the_running_process_began_is_late(
    beat_s: float, changed: dict[str, Any], late: bool
) -> None:
    now, lease_until = T0 + timedelta(seconds=20), T0 + timedelta(seconds=30)
    row = {"incarnation": "j", "started_at": T0 + timedelta(seconds=10), "state": "live", "lease_until": lease_until}

    assert of_former_process(beat(beat_s), row | changed, now) is late
    assert not of_former_process(beat(beat_s), None, now)
