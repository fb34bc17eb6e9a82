"""Admission of runs as a state machine: limits and order hold for any sequence of events."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.admission.runs import (
    AGING,
    HIGH,
    LOW,
    Moment,
    QueuedRun,
    admission_order,
    admit,
    admit_borrowers,
    capacity_of,
)

T0 = datetime(2027, 1, 1, tzinfo=UTC)


class Queue(RuleBasedStateMachine):
    """One queue with its clock and limit, and runs that are queued and end."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T0
        self.limit = 2
        self.waiting: dict[str, QueuedRun] = {}
        self.running: set[str] = set()
        self.count = 0
        self.labels: list[dict[str, str]] = []
        self.lowered = False

    @rule(priority=st.sampled_from([LOW, HIGH]), gpu=st.booleans(), hold_s=st.sampled_from([0, 0, 0, 600]))
    def enqueue(self, priority: int, gpu: bool, hold_s: int) -> None:
        key = f"r{self.count:05}"
        self.count += 1
        self.now += timedelta(microseconds=1)
        held = self.now + timedelta(seconds=hold_s) if hold_s else None
        self.waiting[key] = QueuedRun(key, self.now, priority, {"gpu": "1"} if gpu else {}, not_before=held)

    @rule(seconds=st.integers(1, 900))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(limit=st.integers(1, 5))
    def change_limit(self, limit: int) -> None:
        self.limit = limit
        self.lowered = len(self.running) > limit

    @rule(up=st.booleans())
    def worker(self, up: bool) -> None:
        self.labels = [{"gpu": "1", "zone": "a"}] if up else []

    @rule(data=st.data())
    def dequeue(self, data: st.DataObject) -> None:
        if self.waiting:
            del self.waiting[data.draw(st.sampled_from(sorted(self.waiting)))]

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        if self.running:
            self.running.remove(data.draw(st.sampled_from(sorted(self.running))))
            self.lowered = len(self.running) > self.limit

    @rule()
    def look(self) -> None:
        free = self.limit - len(self.running)
        ordered = sorted(self.waiting.values(), key=admission_order)
        chosen = admit(ordered, Moment(self.now, self.labels), free=free)
        may = [one for one in ordered if self._may(one)]
        assert list(chosen.keys) == [one.run_key for one in may[: max(0, free)]]
        held = [one.not_before for one in ordered if one.not_before is not None and one.not_before > self.now]
        if held and free > len(may):
            assert chosen.wake_at == min(held)
        for key in chosen.keys:
            first = self.waiting.pop(key)
            self.running.add(key)
            for other in self.waiting.values():
                if self._may(other) and other.run_key not in chosen.keys:
                    # Whoever stays behind came later, or came less than the head start before a high one.
                    assert other.queued_at - other.priority * AGING >= first.queued_at - first.priority * AGING

    def _may(self, one: QueuedRun) -> bool:
        ready = one.not_before is None or one.not_before <= self.now
        return ready and (not one.selector or bool(self.labels))

    @invariant()
    def no_more_than_the_limit(self) -> None:
        assert self.lowered or len(self.running) <= self.limit


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_a_run_waits_for_the_other_to_end_and_then_some() -> None:
    ended = T0 + timedelta(minutes=1)

    def keys(status: str | None, finished_at: datetime | None, now: datetime) -> tuple[str, ...]:
        one = QueuedRun("r", T0, after_status=status, after_finished_at=finished_at, wait_s=30)
        return admit([one], Moment(now), free=1).keys

    assert keys("running", None, ended) == ()
    assert keys("aborted", ended, ended + timedelta(seconds=29)) == ()
    assert keys("aborted", ended, ended + timedelta(seconds=30)) == ("r",)
    assert keys(None, None, T0) == ("r",)


def test_the_next_look_is_due_when_the_first_hold_ends_whatever_the_order_of_the_runs() -> None:
    soon, late = (QueuedRun(f"r{minutes}", T0, not_before=T0 + timedelta(minutes=minutes)) for minutes in (1, 2))

    assert {admit(runs, Moment(T0), free=2).wake_at for runs in ([soon, late], [late, soon])} == {soon.not_before}


def test_a_place_is_lent_to_the_first_sub_run_that_may_start() -> None:
    held = QueuedRun("held", T0, not_before=T0 + timedelta(minutes=1))
    runs = [held, *(QueuedRun(key, T0) for key in ("first", "second", "of another"))]
    lenders = {"held": "A", "first": "A", "second": "A", "of another": "B"}

    assert admit_borrowers(runs, Moment(T0), lenders) == ("first", "of another")


def test_a_dags_own_queue_holds_at_least_one() -> None:
    assert [capacity_of(None, -1), capacity_of(None, 3), capacity_of(7, 3)] == [1, 3, 7]
