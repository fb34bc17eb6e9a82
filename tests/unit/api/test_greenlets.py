"""``run_in_thread`` in a process that serves by threads, and in one that serves by greenlets."""

import subprocess
import sys
import textwrap

import pytest

from services.api.serving.greenlets import run_in_thread

GREEN = """
    from services.api.serving.greenlets import run_in_thread, become_green

    become_green()
    import threading
    import gevent
    from gevent.monkey import get_original

    def count():
        begun.append(True)
        # A lock of the system's own: it would stop every greenlet of the thread that waits for it.
        assert held.acquire(timeout=30)
        return 7

    begun = []
    held = get_original("_thread", "allocate_lock")()
    held.acquire()
    counting = gevent.spawn(run_in_thread, count)
    while not begun:
        # Not 0: a loop that lets go of the interpreter and takes it back at once can keep a thread from it.
        gevent.sleep(0.01)
    assert not counting.ready()
    held.release()
    assert counting.get(timeout=30) == 7
    try:
        run_in_thread(lambda: 1 // 0)
    except ZeroDivisionError:
        print("raised")
"""


def test_run_in_thread_calls_directly_where_threads_serve() -> None:
    assert run_in_thread(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        run_in_thread(lambda: 1 // 0)


def test_run_in_thread_lets_other_greenlets_run_and_raises_errors_without_printing() -> None:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(GREEN)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "raised\n", "")
