"""Wait for work that nothing can cancel, such as the call of a provider of secrets, but only until a stop."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import TypeVar

from services.worker.process.capture import Interrupted
from services.worker.process.stop_request import StopRequest

__all__ = ["until_stopped"]

T = TypeVar("T")


def until_stopped(stop: StopRequest, work: Callable[[], T]) -> T:
    """Call ``work`` on a new thread, and return what it returns or raise what it raises.

    After a stop, the thread is left behind: ``work`` must have no effects. Raises ``Interrupted``.
    """
    done: Future[T] = Future()
    over = threading.Event()

    def body() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
            done.set_exception(error)

    done.add_done_callback(lambda _: over.set())
    threading.Thread(target=copy_context().run, args=(body,), name="until-stopped", daemon=True).start()
    stop.listen(over.set)
    try:
        over.wait()
    finally:
        stop.unlisten(over.set)
    if not done.done():
        raise Interrupted("a stop came before the end")
    return done.result()
