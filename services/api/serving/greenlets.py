"""Greenlets instead of threads, for a gateway that is a process of its own (ADR 16).

A request waits for the broker or the database most of its time, and a switch of greenlets costs a
fraction of handing the interpreter's lock from one thread to another. What computes for long
would hold all others up, though: that goes ``run_in_thread``, to a real thread.
"""

from collections.abc import Callable
from typing import TypeVar

__all__ = ["become_green", "is_green", "run_in_thread"]

T = TypeVar("T")
_green = False


def become_green() -> None:
    """Let what blocks switch greenlets, in this whole process; to be called before what blocks is imported."""
    # Here, because it takes 50 ms, and only a gateway is to spend them.
    from gevent import monkey  # noqa: PLC0415

    monkey.patch_all()
    from gevent.socket import wait_read, wait_write  # noqa: PLC0415

    from shared.store.gevent_wait import wait_by  # noqa: PLC0415

    wait_by(wait_read, wait_write)
    global _green  # noqa: PLW0603 - a process is green or not
    _green = True


def is_green() -> bool:
    """Tell whether this process became green."""
    return _green


def run_in_thread(work: Callable[[], T]) -> T:
    """Return or raise what ``work`` does, while other requests go on.

    In a green process a real thread does it, and others get the interpreter every 5 ms; it sees nothing
    of what is bound to the request's own thread. Elsewhere a request has a real thread already.
    """
    if not _green:
        return work()
    from gevent import get_hub  # noqa: PLC0415

    def attempt() -> tuple[T, None] | tuple[None, Exception]:
        # gevent prints what its threads raise, a wrong password among it.
        try:
            return work(), None
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            return None, error

    done, error = get_hub().threadpool.apply(attempt)
    if error is not None:
        raise error
    return done  # type: ignore[no-any-return]
