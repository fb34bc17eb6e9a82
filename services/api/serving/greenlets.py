"""Greenlets instead of threads, in processes of ``dagway api`` (ADR 16).

A request spends most of its time waiting for the broker or the database. Switching greenlets is much cheaper than
passing the GIL from thread to thread. A long computation would delay all other requests, so ``run_in_thread`` runs it
in a real thread.
"""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["become_green", "is_green", "run_in_thread"]

T = TypeVar("T")
_green = False


def become_green() -> None:
    """Make blocking calls switch greenlets in the whole process. Call this before importing modules that block."""
    # Imported here, because it takes 50 ms and only a gateway needs it.
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    from gevent.socket import wait_read, wait_write  # noqa: PLC0415

    from shared.store.gevent_wait import wait_by  # noqa: PLC0415

    wait_by(wait_read, wait_write)
    global _green  # noqa: PLW0603 - a process is green or not
    _green = True


def is_green() -> bool:
    """Return whether this process uses greenlets."""
    return _green


def run_in_thread(work: Callable[[], T]) -> T:
    """Call ``work`` without delaying other requests; return its result or raise its exception.

    In a process with greenlets, ``work`` runs in a real thread, and other threads get the GIL every 5 ms. ``work``
    does not see thread-local values of the request. In other processes the request has a real thread already, which
    calls ``work`` itself.
    """
    if not _green:
        return work()
    from gevent import get_hub  # noqa: PLC0415

    def attempt() -> tuple[T, None] | tuple[None, Exception]:
        # Catch exceptions here, because gevent prints those that its threads raise, e.g. for a wrong password.
        try:
            return work(), None
        except Exception as error:  # noqa: BLE001 - raised again in the calling greenlet
            return None, error

    done, error = get_hub().threadpool.apply(attempt)
    if error is not None:
        raise error
    return done  # type: ignore[no-any-return]
