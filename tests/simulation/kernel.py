"""Runs all threads of all simulated processes as greenlets of one real thread, in an order drawn from a seed.

Only one task runs at a time, and it runs until it waits for something. Then the kernel picks the next ready task by
the seed; if none is ready, the simulated time jumps to the next event. So a whole run depends on nothing but its seed.
"""

import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from heapq import heappop, heappush

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

__all__ = ["Host", "Kernel", "Killed", "Task", "running"]

_SWITCH_S = 20e-6
"""What each piece of work takes in simulated time, so that a loop that never waits does not stop the clock."""
_SLOW = 0.02
"""How often a task that gives way is held up for a while, as by a busy CPU or a garbage collection."""


class Killed(BaseException):
    """Raised in every task of a host that was killed, wherever it waits."""


class Host:
    """One simulated process. ``skew_s``: how far its clock is ahead of the true time."""

    def __init__(self, name: str, skew_s: float = 0.0) -> None:
        self.name = name
        self.skew_s = skew_s
        self.dead = False
        self.frozen = False
        self.pinned = 0
        """While above 0, the host is in the middle of a transaction: it is not frozen there."""
        self.tasks: list[Task] = []
        self.held: list[Task] = []
        """The tasks that were ready while the host was frozen."""


class Task:
    """One simulated thread."""

    def __init__(self, host: Host, name: str, body: Callable[[], object], hub: "greenlet") -> None:
        self.host, self.name, self.body = host, name, body
        self.over = False
        self.waiting = False
        self.woken = False
        self.waits = 0
        """How often it has waited, to tell an old timeout from the present one."""
        self.joiners: list[Task] = []
        self.greenlet = greenlet(self._run, parent=hub)

    def _run(self) -> None:
        with suppress(Killed):
            self.body()


class Kernel:
    """The tasks, the events and the simulated time in seconds of one simulation."""

    active: "Kernel | None" = None

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ids = random.Random(f"ids {seed}")
        self.now_s = 0.0
        self.current: Task | None = None
        self.switches = 0
        self._hub = getcurrent()
        self._ready: list[Task] = []
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._numbers = 0
        self._doomed: deque[Host] = deque()
        self._trace = blake2b(digest_size=16)
        self._hosts: list[Host] = []
        self.on_point: Callable[[Host, str], None] | None = None
        """Called at each named point of the code, with the host that reached it."""
        self.preempt = 0.05
        """How often a task gives way when it takes a free lock or sends a message."""

    # -- the trace --------------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Add a line to the trace, of which only the hash is kept."""
        self._trace.update(f"{self.now_s:.6f} {text}\n".encode())

    @property
    def trace_hash(self) -> str:
        return self._trace.hexdigest()

    # -- time and events --------------------------------------------------------------------------

    def at(self, moment_s: float, event: Callable[[], object]) -> None:
        """Call ``event`` at a simulated time, outside of all tasks: it must not wait."""
        self._numbers += 1
        heappush(self._events, (max(moment_s, self.now_s), self._numbers, event))

    def after(self, delay_s: float, event: Callable[[], object]) -> None:
        self.at(self.now_s + delay_s, event)

    def run(self, until_s: float) -> None:
        """Let the simulated time pass until ``until_s``, or until an event ends it by an exception."""
        Kernel.active = self
        while True:
            while self._doomed:
                self._bury(self._doomed.popleft())
            if self._events and self._events[0][0] <= self.now_s:
                heappop(self._events)[2]()
            elif self._ready:
                self._step()
            elif self._events and self._events[0][0] <= until_s:
                self.now_s = self._events[0][0]
            else:
                self.now_s = max(self.now_s, until_s)
                return
            if self.now_s > until_s:
                return

    def close(self) -> None:
        """Kill everything that still runs."""
        for host in self._hosts:
            self.kill(host)
        while self._doomed:
            self._bury(self._doomed.popleft())
        Kernel.active = None

    def _step(self) -> None:
        ready = self._ready
        place = self.rng.randrange(len(ready)) if len(ready) > 1 else 0
        task, ready[place] = ready[place], ready[-1]
        ready.pop()
        if task.over:
            return
        if task.host.frozen:
            task.host.held.append(task)
            return
        self.switches += 1
        self.now_s += _SWITCH_S
        self.note(f"{task.host.name} {task.name}")
        self._enter(task, None)

    def _enter(self, task: Task, error: BaseException | None) -> None:
        self.current = task
        try:
            if error is None:
                task.greenlet.switch()
            else:
                task.greenlet.throw(error)
        finally:
            self.current = None
            if task.greenlet.dead:
                self._end(task)

    def _end(self, task: Task) -> None:
        task.over = True
        with suppress(ValueError):
            task.host.tasks.remove(task)
        for joiner in task.joiners:
            self.wake(joiner)

    # -- hosts and tasks --------------------------------------------------------------------------

    def spawn(self, host: Host, name: str, body: Callable[[], object]) -> Task:
        """Start a task; it runs as soon as the kernel picks it."""
        task = Task(host, name, body, self._hub)
        if host.dead:
            task.over = True
            return task
        if not host.tasks and host not in self._hosts:
            self._hosts.append(host)
        host.tasks.append(task)
        self._ready.append(task)
        return task

    def kill(self, host: Host) -> None:
        """Kill a host. Its tasks end before anything else runs; one that kills its own host ends at once."""
        if host.dead:
            return
        host.dead = True
        host.frozen = False
        self.note(f"{host.name} killed")
        self._doomed.append(host)
        if self.current is not None and self.current.host is host:
            raise Killed

    def _bury(self, host: Host) -> None:
        for task in list(host.tasks):
            if not task.over:
                if task.greenlet:
                    self._enter(task, Killed())
                task.over = True
        host.tasks.clear()
        host.held.clear()

    def freeze(self, host: Host) -> None:
        host.frozen = True

    def thaw(self, host: Host) -> None:
        host.frozen = False
        self._ready.extend(host.held)
        host.held.clear()

    # -- what tasks call --------------------------------------------------------------------------

    def park(self, timeout_s: float | None = None) -> bool:
        """Let the current task wait until ``wake``, or for ``timeout_s``. Return whether it was woken."""
        task = self.current
        assert task is not None, "only a task can wait"
        if task.host.dead:
            raise Killed
        task.waits += 1
        task.waiting, task.woken = True, False
        if timeout_s is not None:
            number = task.waits
            self.after(max(0.0, timeout_s), lambda: self._time_out(task, number))
        self._hub.switch()
        if task.host.dead:
            raise Killed
        return task.woken

    def _time_out(self, task: Task, number: int) -> None:
        if task.waiting and task.waits == number and not task.over:
            task.waiting = False
            self._ready.append(task)

    def wake(self, task: Task) -> None:
        if task.waiting and not task.over:
            task.waiting, task.woken = False, True
            self._ready.append(task)

    def give_way(self, chance: float | None = None) -> None:
        """Sometimes let other tasks go first, and rarely for long."""
        task = self.current
        if task is None or self.rng.random() >= (self.preempt if chance is None else chance):
            return
        self.park(self.rng.expovariate(20.0) if self.rng.random() < _SLOW else 0.0)


def running() -> Kernel | None:
    """Return the active kernel if one of its tasks is running, else ``None``: at import time, for instance."""
    kernel = Kernel.active
    return kernel if kernel is not None and kernel.current is not None else None
