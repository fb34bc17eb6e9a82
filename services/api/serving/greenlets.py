"""Greenlets instead of threads, for a gateway that is a process of its own (ADR 16).

Most of its time a request waits for the broker or the database, and switching greenlets costs a fraction of passing
the interpreter's lock from one thread to another. Long computations would delay all other requests: they go to a real
thread, by ``run_in_thread``.
"""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["become_green", "is_green", "run_in_thread"]

T = TypeVar("T")
_green = False


def become_green() -> None:
    """Make blocking calls switch greenlets in this whole process; call it before importing modules that block."""
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
    """Return or raise what ``work`` does, without delaying other requests.

    In a process of greenlets a real thread runs it, and others get the interpreter every 5 ms; it does not see
    what is bound to the request's own thread. Elsewhere a request has a real thread already.
    """
    if not _green:
        return work()
    from gevent import get_hub  # noqa: PLC0415

    def attempt() -> tuple[T, None] | tuple[None, Exception]:
        # gevent prints what its threads raise, for example for a wrong password.
        try:
            return work(), None
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            return None, error

    done, error = get_hub().threadpool.apply(attempt)
    if error is not None:
        raise error
    return done  # type: ignore[no-any-return]
