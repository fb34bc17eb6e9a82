"""Stand-ins for ``threading``, ``queue`` and ``concurrent.futures``, whose waits are those of the kernel.

Outside of a simulation, at import time for instance, locks are always free and nothing waits.
"""

import concurrent.futures
import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tests.simulation.kernel import Kernel, Killed, Task, running

__all__ = ["Condition", "Event", "Future", "Lock", "RLock", "SimpleQueue", "Thread", "ThreadPoolExecutor"]

T = TypeVar("T")


class _Waiters:
    def __init__(self) -> None:
        self._tasks: deque[Task] = deque()

    def wait(self, kernel: Kernel, timeout_s: float | None) -> bool:
        task = kernel.current
        assert task is not None
        self._tasks.append(task)
        try:
            return kernel.park(timeout_s)
        finally:
            if task in self._tasks:
                self._tasks.remove(task)

    def wake(self, count: int) -> None:
        while self._tasks and count > 0:
            task = self._tasks.popleft()
            if not task.over and Kernel.active is not None:
                Kernel.active.wake(task)
                count -= 1

    def __len__(self) -> int:
        return len(self._tasks)


class Lock:
    """``threading.Lock``. A task that takes a free lock may have to let others go first."""

    def __init__(self) -> None:
        self._holder: Task | None = None
        self._waiters = _Waiters()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        kernel = running()
        if kernel is None:
            return True
        kernel.give_way()
        until_s = None if timeout < 0 else kernel.now_s + timeout
        while self._holder is not None and not self._holder.over:
            if not blocking or (until_s is not None and kernel.now_s >= until_s):
                return False
            self._waiters.wait(kernel, None if until_s is None else until_s - kernel.now_s)
        self._holder = kernel.current
        return True

    def release(self) -> None:
        self._holder = None
        self._waiters.wake(1)

    def locked(self) -> bool:
        return self._holder is not None

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock(Lock):
    """``threading.RLock``."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        kernel = running()
        if (kernel is None or self._holder is not kernel.current) and not super().acquire(blocking, timeout):
            return False
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if self._depth <= 0:
            self._depth = 0
            super().release()

    def let_go(self) -> int:
        """Release all levels; return how many there were."""
        depth, self._depth = self._depth, 0
        super().release()
        return depth

    def take_again(self, depth: int) -> None:
        self.acquire()
        self._depth = depth


class Condition:
    """``threading.Condition``."""

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = lock or RLock()
        self._waiters = _Waiters()
        self.acquire, self.release = self._lock.acquire, self._lock.release

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        kernel = running()
        assert kernel is not None
        depth = self._lock.let_go() if isinstance(self._lock, RLock) else 0
        if not depth:
            self._lock.release()
        try:
            return self._waiters.wait(kernel, timeout)
        finally:
            if isinstance(self._lock, RLock):
                self._lock.take_again(depth)
            else:
                self._lock.acquire()

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        kernel = running()
        assert kernel is not None
        until_s = None if timeout is None else kernel.now_s + timeout
        while not (found := predicate()):
            left_s = None if until_s is None else until_s - kernel.now_s
            if left_s is not None and left_s <= 0:
                break
            self.wait(left_s)
        return found

    def notify(self, n: int = 1) -> None:
        self._waiters.wake(n)

    def notify_all(self) -> None:
        self._waiters.wake(len(self._waiters))


class Event:
    """``threading.Event``."""

    def __init__(self) -> None:
        self._set = False
        self._waiters = _Waiters()

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self._waiters.wake(len(self._waiters))

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        kernel = running()
        if self._set or kernel is None:
            return self._set
        until_s = None if timeout is None else kernel.now_s + timeout
        while not self._set:
            left_s = None if until_s is None else until_s - kernel.now_s
            if not self._waiters.wait(kernel, left_s) and left_s is not None:
                break
        return self._set


class SimpleQueue(Generic[T]):
    """``queue.SimpleQueue``."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._waiters = _Waiters()

    def put(self, item: T) -> None:
        self._items.append(item)
        self._waiters.wake(1)

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        kernel = running()
        until_s = None if timeout is None or kernel is None else kernel.now_s + timeout
        while not self._items:
            if not block or kernel is None or (until_s is not None and kernel.now_s >= until_s):
                raise queue.Empty
            self._waiters.wait(kernel, None if until_s is None else until_s - kernel.now_s)
        return self._items.popleft()

    def get_nowait(self) -> T:
        return self.get(block=False)

    def empty(self) -> bool:
        return not self._items

    def qsize(self) -> int:
        return len(self._items)


class Thread:
    """``threading.Thread``: a task of the host that starts it."""

    def __init__(
        self,
        target: Callable[..., object] | None = None,
        name: str = "thread",
        args: tuple[Any, ...] = (),
        daemon: bool | None = None,
    ) -> None:
        self._target, self.name, self._args, self.daemon = target, name, args, daemon
        self.ident: int | None = None
        self._task: Task | None = None

    def start(self) -> None:
        kernel = running()
        assert kernel is not None
        assert kernel.current is not None, "a thread is started by another"
        self.ident = 1
        self._task = kernel.spawn(kernel.current.host, self.name, self.run)

    def run(self) -> None:
        if self._target is not None:
            self._target(*self._args)

    def is_alive(self) -> bool:
        return self._task is not None and not self._task.over

    def join(self, timeout: float | None = None) -> None:
        kernel = running()
        assert kernel is not None
        until_s = None if timeout is None else kernel.now_s + timeout
        while (task := self._task) is not None and not task.over:
            left_s = None if until_s is None else until_s - kernel.now_s
            if left_s is not None and left_s <= 0:
                return
            assert kernel.current is not None
            task.joiners.append(kernel.current)
            kernel.park(left_s)


class Future(concurrent.futures.Future[T]):
    """``concurrent.futures.Future``: only its waits differ."""

    def result(self, timeout: float | None = None) -> T:
        self._await(timeout)
        return super().result(0)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self._await(timeout)
        return super().exception(0)

    def _await(self, timeout: float | None) -> None:
        if self.done() or running() is None:
            return
        over = Event()
        self.add_done_callback(lambda _: over.set())
        if not over.wait(timeout):
            raise TimeoutError


class ThreadPoolExecutor:
    """``concurrent.futures.ThreadPoolExecutor``: each piece of work is a task, at most ``max_workers`` at once."""

    def __init__(self, max_workers: int, thread_name_prefix: str = "pool") -> None:
        self._free, self._name = max_workers, thread_name_prefix
        self._waiting: deque[Callable[[], object]] = deque()
        self._open = True
        self._idle = Event()
        self._idle.set()
        self._busy = 0

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> "Future[T]":
        if not self._open:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: Future[T] = Future()

        def work() -> None:
            try:
                result = fn(*args, **kwargs)
            except Killed:
                raise
            except BaseException as error:  # noqa: BLE001 - it belongs to the future
                future.set_exception(error)
            else:
                future.set_result(result)

        self._waiting.append(work)
        self._busy += 1
        self._idle.clear()
        self._next()
        return future

    def _next(self) -> None:
        kernel = running()
        while self._free and self._waiting and kernel is not None and kernel.current is not None:
            self._free -= 1
            work = self._waiting.popleft()
            kernel.spawn(kernel.current.host, self._name, lambda work=work: self._run(work))  # type: ignore[misc]

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            self._free += 1
            self._busy -= 1
            if not self._busy:
                self._idle.set()
            self._next()

    def shutdown(self, wait: bool = True) -> None:
        self._open = False
        if wait:
            self._idle.wait()


def current_thread() -> object:
    """``threading.current_thread``: something that tells tasks apart."""
    kernel = running()
    return threading.current_thread() if kernel is None else kernel.current
