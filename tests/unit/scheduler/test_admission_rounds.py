"""Neither a queue with many runs nor many notices keep the other queues and pools waiting."""

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, repeat
from types import SimpleNamespace
from typing import Any

import pytest

from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.loops.admission import Admission
from services.scheduler.loops.pool_admission import PoolAdmission
from services.scheduler.loops.regular_look import RegularLook
from shared.admission.pools import PoolKey
from shared.clock import utc_now
from shared.errors import StoreUnavailable
from tests.harness.eventually import eventually


class Recorded(Admission):
    """Starts 100 runs at a time of ``big``, 300 in all. Meanwhile a run of ``small`` is queued."""

    def __init__(self, transactor: Any, stop: threading.Event) -> None:
        # It is never time to look at all queues.
        super().__init__(transactor, chain([0.0], repeat(-1.0)).__next__)
        self.served: list[str] = []
        self._stop = stop

    def admit(self, queue: str) -> int:
        self.served.append(queue)
        if len(self.served) == 1:
            self.notify(["small␟q"])
        if {"big␟q", "small␟q"} <= set(self.served) and self.served.count("big␟q") == 4:
            self._stop.set()
        return 100 if queue == "big␟q" and self.served.count(queue) <= 3 else 0


@contextmanager
def _all_have_queued_runs() -> Iterator[Any]:
    yield SimpleNamespace(
        queues=SimpleNamespace(with_queued=set, busy=lambda: {"left": 1}),
        pools=SimpleNamespace(awaited=lambda: [("pool", "left")]),
    )


def test_a_queue_that_is_noted_meanwhile_is_served_in_the_next_round() -> None:
    stop = threading.Event()
    store = SimpleNamespace(read=_all_have_queued_runs)
    admission = Recorded(SimpleNamespace(store=store), stop)
    admission.notify(["big␟q"])

    admission.run(stop)

    assert admission.served == ["big␟q", "big␟q", "small␟q", "big␟q", "big␟q"]


class Busy(Admission):
    """Serves one queue a second, and is noted a run of ``busy`` each time."""

    def __init__(self, transactor: Any, stop: threading.Event) -> None:
        self.served: list[str] = []
        super().__init__(transactor, lambda: float(len(self.served)))
        self._stop = stop

    def admit(self, queue: str) -> int:
        self.served.append(queue)
        self.notify(["busy"])
        if len(self.served) >= 50:
            self._stop.set()
        return 0


class BusyPools(PoolAdmission):
    """The same for pools."""

    def __init__(self, transactor: Any, stop: threading.Event) -> None:
        self.served: list[PoolKey] = []
        super().__init__(transactor, lambda: float(len(self.served)))
        self._stop = stop

    def admit(self, pools: Iterable[PoolKey]) -> int:
        self.served += pools
        self.notify([PoolKey("pool", "busy")])
        if len(self.served) >= 50:
            self._stop.set()
        return 0


def test_what_nobody_notes_is_seen_at_the_start_and_every_20_s_also_by_a_busy_scheduler() -> None:
    transactor = SimpleNamespace(store=SimpleNamespace(read=_all_have_queued_runs, begin=_all_have_queued_runs))
    for kind in (Busy, BusyPools):
        stop = threading.Event()
        admission = kind(transactor, stop)

        admission.run(stop)

        left = [at for at, name in enumerate(admission.served) if name in ("left", PoolKey("pool", "left"))]
        assert len(left) == 3
        assert left[0] <= 1
        assert left[1] - left[0] <= 22


def test_a_look_at_many_queues_leaves_room_for_those_that_are_noted() -> None:
    looked: list[int] = []
    look = RegularLook[int](lambda: 0.0)

    while look.due:
        looked.append(len(look.next(lambda: range(50))))

    assert looked == [20, 20, 10]


def test_a_look_that_fails_stays_due() -> None:
    look = RegularLook[int](lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        look.next(_away)

    assert look.next(lambda: [1]) == [1]
    assert look.next(_away) == []


def _away() -> Iterator[int]:
    raise StoreUnavailable("away")


class Looked(Admission):
    """``looks`` has the queues of each look; ``waiting`` are those that have queued runs."""

    def __init__(self) -> None:
        self.looks: list[set[str]] = []
        self.waiting: set[str] = set()
        self.served: list[str] = []
        transactor: Any = SimpleNamespace(store=SimpleNamespace(read=self._read), clock=utc_now)
        self.now_s = 1.0
        super().__init__(transactor, lambda: self.now_s)
        self.now_s = 0.0  # before the first regular look at all queues

    def admit(self, queue: str) -> int:
        self.served.append(queue)
        return 0

    @contextmanager
    def _read(self) -> Iterator[Any]:
        yield SimpleNamespace(queues=SimpleNamespace(with_queued=self._with_queued, busy=list))

    def _with_queued(self, queues: set[str]) -> set[str]:
        self.looks.append(queues)
        return queues & self.waiting


def test_while_nothing_is_queued_one_look_serves_all_places_that_become_free_within_a_moment() -> None:
    stop, admission = threading.Event(), Looked()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(admission.run, stop)
        try:
            admission.follow(PostCommit(freed={"a"}))
            admission.follow(PostCommit(freed={"b"}))
            admission.now_s += 0.5
            eventually(lambda: admission.looks == [{"a", "b"}])

            # The clock stands still from here on. A run that was queued does not wait for it, nor a place beside one.
            admission.waiting = {"a"}
            admission.follow(PostCommit(queues={"a"}))
            eventually(lambda: admission.served == ["a"])
            admission.waiting = set()
            admission.follow(PostCommit(freed={"a"}))
            eventually(lambda: admission.looks[2:] == [{"a"}])
            admission.follow(PostCommit(freed={"a"}))
            admission.follow(PostCommit(queues={"c"}))
            eventually(lambda: admission.looks[3:] == [{"a", "c"}])
        finally:
            stop.set()
            admission.wake()
            running.result()
