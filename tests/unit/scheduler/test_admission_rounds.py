"""A queue with many runs does not keep the queues waiting that are noted while it is served."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from services.scheduler.loops.admission import Admission


class Recorded(Admission):
    """Starts 100 runs at a time of ``big``, 300 in all. Meanwhile a run of ``small`` is queued."""

    def __init__(self, transactor: Any, stop: threading.Event) -> None:
        super().__init__(transactor)
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
    yield SimpleNamespace(queues=SimpleNamespace(with_queued=set))


def test_a_queue_that_is_noted_meanwhile_is_served_in_the_next_round() -> None:
    stop = threading.Event()
    store = SimpleNamespace(read=_all_have_queued_runs)
    admission = Recorded(SimpleNamespace(store=store), stop)
    admission.notify(["big␟q"])

    admission.run(stop)

    assert admission.served == ["big␟q", "big␟q", "small␟q", "big␟q", "big␟q"]
