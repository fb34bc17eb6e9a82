"""A worker counts as silent only while its heartbeats could come through."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.scheduler.liveness.hearing import Hearing
from shared.contracts.events import Heartbeat

T0 = datetime(2026, 1, 1, tzinfo=UTC)
LEASE_S, PERIOD_S, GAP_S, BEAT_S = 10.0, 1.0, 4.0, 2.0


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def beat(seconds: float, worker_id: str = "w1") -> Heartbeat:
    return Heartbeat(
        worker_id=worker_id, incarnation="i", host="h", version="0", started_at=T0, at=at(seconds), slots=1
    )


def hearing(settle_s: float = 0.0) -> Hearing:
    return Hearing(gap_s=GAP_S, settle_s=settle_s)


def mark(one: Hearing, sent_s: float, back_s: float | None = None, session: int = 1) -> None:
    """Let a marker be sent, and come back at once or at ``back_s``."""
    number = one.send(session, at(sent_s), sent_s)
    one.returned(number, sent_s if back_s is None else back_s)


def test_a_lease_of_markers_without_a_heartbeat_is_silence() -> None:
    one = hearing()
    mark(one, 0)
    one.hear(beat(0.5), at(0.5))
    for second in range(1, 11):
        mark(one, second)
        assert not one.silent("w1", LEASE_S)
    mark(one, 11)

    assert one.silent("w1", LEASE_S)
    assert one.until == at(11)


def test_a_new_process_of_a_worker_is_noticed() -> None:
    one = hearing()
    one.hear(beat(1), at(1))
    assert one.somebody_began(at(0))
    one.hear(beat(5), at(5))
    assert not one.somebody_began(at(1))
    one.hear(beat(6).model_copy(update={"incarnation": "next"}), at(6))
    assert one.somebody_began(at(5))


def test_a_worker_is_known_from_the_time_to_which_the_clock_was_set_back() -> None:
    one = hearing()
    one.hear(beat(1), at(3600))
    one.hear(beat(2), at(2))

    heard = one.worker("w1")
    assert heard is not None
    assert heard.since == at(2)


def test_tasks_are_in_hand_as_long_as_their_worker_is_heard() -> None:
    one = hearing()
    mark(one, 0)
    one.hear(beat(0).model_copy(update={"tokens": ("runs",), "kept": ("waits",)}), at(0))
    mark(one, 1)
    assert one.in_hand(LEASE_S) == {"runs", "waits"}

    one.hear(beat(1).model_copy(update={"tokens": ("waits",)}), at(1))
    for second in range(2, 12):
        mark(one, second)
        assert one.in_hand(LEASE_S) == {"waits"}
    mark(one, 13)
    assert one.in_hand(LEASE_S) == set()


def test_nothing_is_silent_while_no_marker_comes_back() -> None:
    one = hearing()
    for second in range(12):
        mark(one, second)
    one.hear(beat(11.5), at(11.5))
    for second in range(12, 60):
        one.send(1, at(second), second)
    mark(one, 60)
    mark(one, 61)

    assert not one.silent("w1", LEASE_S)
    assert one.silent("never heard", LEASE_S)


def test_after_a_new_session_all_workers_get_the_time_to_connect_again() -> None:
    one = hearing(settle_s=5)
    for second in range(30):
        mark(one, second)
    assert one.silent("w1", LEASE_S)
    for second in range(30, 46):
        mark(one, second, session=2)
        assert not one.silent("w1", LEASE_S) or second == 45
    assert one.silent("w1", LEASE_S)


def test_a_marker_that_was_not_sent_or_is_late_proves_nothing() -> None:
    one = hearing()
    assert one.returned(7, 0.0) is None
    number = one.send(1, at(0), 0)

    assert one.returned(number, GAP_S + 0.1) is None
    assert one.returned(number, GAP_S + 0.1) is None


def test_a_clock_that_jumps_ends_no_lease() -> None:
    one = hearing()
    mark(one, 0)
    one.hear(beat(0.5), at(0.5))
    for second in range(1, 6):
        number = one.send(1, at(second + 3600), second)
        one.returned(number, second)

    assert not one.silent("w1", LEASE_S)


closed = st.lists(
    st.tuples(
        st.floats(0.5, 30, allow_subnormal=False),
        st.floats(0.1, 40, allow_subnormal=False),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
)


@settings(deadline=None)
@given(closed, st.floats(0, BEAT_S), st.floats(0, PERIOD_S), st.floats(0.01, 0.3))
def test_a_living_worker_is_never_silent(
    faults: list[tuple[float, float, bool, bool]], beat_phase: float, mark_phase: float, transit_s: float
) -> None:
    """Whatever the broker and this process do: blocked publishers, stalled delivery, a frozen scheduler."""
    windows, now = [], 0.0
    for open_s, shut_s, stalls, freezes in faults:
        windows.append((now + open_s, now + open_s + shut_s, stalls, freezes))
        now += open_s + shut_s
    end = now + 3 * LEASE_S

    def passage(sent_s: float) -> float | None:
        """Return when a message that is sent now is received; ``None``: it cannot be sent."""
        for begins, ends, stalls, freezes in windows:
            if begins <= sent_s < ends:
                if stalls or freezes:
                    return ends + transit_s  # it waits at the broker, or with the frozen process
                return None  # the broker blocks publishers
        return sent_s + transit_s

    def frozen(second: float) -> bool:
        return any(begins <= second < ends and freezes for begins, ends, _, freezes in windows)

    sends = [(beat_phase + BEAT_S * n, "beat") for n in range(int(end / BEAT_S))]
    sends += [(mark_phase + PERIOD_S * n, "mark") for n in range(int(end / PERIOD_S))]
    happens: list[tuple[float, int, str, float]] = []
    for order, (second, what) in enumerate(sorted(sends)):
        if what == "mark" and not frozen(second):
            happens.append((second, order, "send", second))
        received = passage(second)
        if received is not None and not (what == "mark" and frozen(second)):
            happens.append((received, order, what, second))
    one, numbers = hearing(), {}
    for second, _, what, sent_s in sorted(happens):
        if what == "send":
            numbers[sent_s] = one.send(1, at(sent_s), sent_s)
        elif what == "mark":
            one.returned(numbers[sent_s], second)
        else:
            one.hear(beat(sent_s), at(second))
        assert not one.silent("w1", LEASE_S), (second, what)


@given(closed)
def test_a_dead_worker_is_silent_after_a_lease_of_open_time(faults: list[tuple[float, float, bool, bool]]) -> None:
    one = hearing()
    mark(one, 0)
    one.hear(beat(0), at(0))
    now = 0.0
    for open_s, shut_s, _, _ in faults:
        now += open_s + shut_s
        mark(one, now)
    for _ in range(int(LEASE_S / PERIOD_S) + 2):
        now += PERIOD_S
        mark(one, now)

    assert one.silent("w1", LEASE_S)
