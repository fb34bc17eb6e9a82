"""Admission: queued runs start when their queue has room.

One transaction per queue, under the queue's row lock, so that no limit is ever exceeded however many
schedulers look at once. Woken by commits of this process; a slow look finds what others left.
"""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from services.scheduler.core.messages import Begin
from shared.errors import StoreUnavailable

if TYPE_CHECKING:
    from services.scheduler.batch import Batch
    from services.scheduler.shell import Shell

__all__ = ["Admission"]

_LOOK_EVERY_S = 10
_AT_ONCE = 100


class Admission:
    """Admits runs of queues it is notified of."""

    def __init__(self, shell: "Shell") -> None:
        self._shell = shell
        self._condition = threading.Condition()
        self._queues: set[str] = set()

    def notify(self, queues: Iterable[str]) -> None:
        """A run was queued here, or a place became free."""
        with self._condition:
            self._queues.update(queues)
            self._condition.notify_all()

    def admit(self, queue: str) -> int:
        """Start as many queued runs as the queue's limit allows; return how many.

        Source: workflow language, section 6.4.
        """

        def work(batch: "Batch") -> int:
            row = batch.tx.lock_queue(queue)
            waiting = batch.tx.queued(queue, _AT_ONCE)
            if row is None or not waiting:
                return 0
            capacity = row["max_concurrency"]
            if capacity is None:
                batch.load([waiting[0]["run_key"]])
                first = batch.run(waiting[0]["run_key"])
                capacity = max(1, first.plan.dag.max_active_runs) if first is not None else 1
            free = max(0, capacity - batch.tx.count_running(queue))
            keys = [row["run_key"] for row in waiting[:free]]
            batch.load(keys)
            for key in keys:
                if batch.run(key) is not None:
                    batch.apply(key, Begin("scheduler"))
            return len(keys)

        return self._shell.decide(work)

    def run(self, stop: threading.Event) -> None:
        """Admit until ``stop``; the body of a background thread."""
        while not stop.is_set():
            try:
                for queue in self._next(stop):
                    while self.admit(queue) == _AT_ONCE:
                        pass
            except StoreUnavailable:
                stop.wait(1)

    def _next(self, stop: threading.Event) -> list[str]:
        with self._condition:
            waited = 0.0
            while not self._queues and not stop.is_set() and waited < _LOOK_EVERY_S:
                self._condition.wait(0.5)
                waited += 0.5
            queues, self._queues = self._queues, set()
        if queues or stop.is_set():
            return sorted(queues)
        with self._shell.store.begin() as tx:
            return tx.queues_with_queued()
