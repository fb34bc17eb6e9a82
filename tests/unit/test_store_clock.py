"""The clock of the database: set by its answers, continued by this process's steady clock."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.store.clock import StoreClock

T0 = datetime(2026, 1, 1, tzinfo=UTC)


class Host:
    """A host with a steady clock, and a wall clock that is wrong by ``wrong_s``."""

    def __init__(self, wrong_s: float = 0.0) -> None:
        self.steady_s = 1000.0
        self.wrong_s = wrong_s
        self.clock = StoreClock(self.own, lambda: self.steady_s)

    def true(self) -> datetime:
        return T0 + timedelta(seconds=self.steady_s)

    def own(self) -> datetime:
        return self.true() + timedelta(seconds=self.wrong_s)

    def ask(self, there_s: float, back_s: float) -> None:
        """Measure; the question and the answer take this long."""

        def answer() -> datetime:
            self.steady_s += there_s
            said = self.true()
            self.steady_s += back_s
            return said

        self.clock.measure(answer)

    @property
    def error_s(self) -> float:
        return (self.clock() - self.true()).total_seconds()


def test_before_the_first_measurement_it_is_the_hosts_own_time() -> None:
    host = Host(wrong_s=-15)

    assert host.clock() == host.own()
    assert not host.clock.measured


@pytest.mark.parametrize("wrong_s", [-15, 3600])
def test_a_wrong_host_has_the_right_time_and_says_so(wrong_s: float, caplog: pytest.LogCaptureFixture) -> None:
    host = Host(wrong_s)
    host.ask(0.01, 0.01)
    host.steady_s += 0.7
    host.ask(0.01, 0.01)

    assert abs(host.error_s) < 0.001
    assert host.clock.skew_s == pytest.approx(wrong_s, abs=0.02)
    assert [record.message for record in caplog.records] == ["clock.differs"]


def test_a_clock_that_differs_little_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    Host(wrong_s=1.9).ask(0.01, 0.01)

    assert caplog.records == []


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 20)), min_size=1, max_size=20))
def test_the_error_is_at_most_the_quickest_round_trip(answers: list[tuple[float, float, float]]) -> None:
    host = Host()
    quickest_s = float("inf")
    for there_s, back_s, pause_s in answers:
        host.ask(there_s, back_s)
        quickest_s = min(quickest_s, there_s + back_s)
        assert abs(host.error_s) <= quickest_s + 1e-5
        host.steady_s += pause_s


def test_it_follows_a_database_whose_time_was_set() -> None:
    host = Host()
    host.ask(0.01, 0.01)
    host.clock.measure(lambda: host.true() + timedelta(hours=1))

    assert host.error_s == pytest.approx(3600, abs=0.05)


def test_only_a_measurement_that_moves_the_clock_is_told_as_a_jump() -> None:
    host = Host(wrong_s=5)
    jumps: list[datetime] = []
    host.clock.on_jump(lambda: jumps.append(host.clock()))

    host.ask(0, 0)
    assert host.clock.measured
    assert jumps == [host.true()], "the database's time took the place of the host's"

    host.steady_s += 3
    host.ask(0.2, 0.2)
    assert len(jumps) == 1, "a slow answer moves nothing"

    host.clock.measure(lambda: host.true() + timedelta(seconds=60))
    assert jumps[1:] == [host.true() + timedelta(seconds=60)]
