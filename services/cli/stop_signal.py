"""Waits for the signals that end a service."""

import signal
import threading
from queue import SimpleQueue

__all__ = ["StopSignal"]

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopSignal:
    """Wraps an event that SIGINT, SIGTERM, SIGHUP or the death of an essential thread sets.

    SIGHUP says that the terminal was closed; ``nohup`` makes the process ignore it.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self.exit_code = 0
        # A signal handler interrupts the main thread anywhere. Setting an event there would deadlock if the main
        # thread, or the handler of an earlier signal, holds the event's lock. A SimpleQueue takes no lock.
        self._signals: SimpleQueue[int] = SimpleQueue()
        threading.Thread(target=self._wait_for_signal, name="signals", daemon=True).start()
        for number in _ENDING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self._signals.put(number)
        # Later ones change nothing. If they were not ignored, one that comes when the interpreter has removed its
        # handlers would kill the process, which has done its work.
        for each in _ENDING:
            signal.signal(each, signal.SIG_IGN)

    def _wait_for_signal(self) -> None:
        self._signals.get()
        self.event.set()

    def on_death(self) -> None:
        """End the process because an essential thread has died: the exit code is 1."""
        self.exit_code = 1
        self.event.set()
