import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.api.caches.single_flight import SingleFlight


def test_callers_that_arrive_during_a_query_share_the_next_one() -> None:
    single_flight, begun, go = SingleFlight(), threading.Event(), threading.Event()
    made: list[int] = []

    def make() -> bytes:
        made.append(len(made))
        begun.set()
        assert go.wait(30)
        return str(made[-1]).encode()

    with ThreadPoolExecutor(6) as threads:
        first = threads.submit(single_flight.get, "k", make)
        assert begun.wait(30)
        others = [threads.submit(single_flight.get, "k", make) for _ in range(5)]
        go.set()

        assert first.result(30) == b"0"
        assert {int(other.result(30)) for other in others} <= {1, 2, 3, 4, 5}
    assert len(made) <= 6


def test_an_error_reaches_all_sharing_callers_and_the_next_caller_queries_again() -> None:
    def broken() -> bytes:
        raise ValueError("no")

    single_flight = SingleFlight()
    with pytest.raises(ValueError, match="no"):
        single_flight.get("k", broken)
    assert single_flight.get("k", lambda: b"yes") == b"yes"
