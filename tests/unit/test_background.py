"""Background threads end when they are asked to."""

import threading

from shared.service import Background


def test_a_body_that_waits_for_something_else_is_woken_to_stop() -> None:
    work, waits, deaths = threading.Event(), threading.Event(), []

    def body(stop: threading.Event) -> None:
        while not stop.is_set():
            waits.set()
            work.wait()
            work.clear()

    thread = Background("waiting", body, lambda: deaths.append("died"), work.set)
    thread.start()
    assert waits.wait(30)

    thread.stop()

    assert not thread.alive
    assert deaths == []
