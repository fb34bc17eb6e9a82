"""How many log chunks may be on their way: many for one step, few for each of many."""

from services.worker.output.send_window import LEAST, SHARED, SendWindow


def test_all_logs_share_one_allowance_but_none_has_less_than_the_least() -> None:
    window = SendWindow()
    sizes = [window.chunks]
    for _ in range(100):
        window.enter()
        sizes.append(window.chunks)

    assert sizes[:3] == [SHARED, SHARED, SHARED // 2]
    assert sizes[-1] == LEAST
    assert all(size == LEAST or size * logs <= SHARED for logs, size in enumerate(sizes))


def test_the_allowance_comes_back_when_logs_end() -> None:
    window = SendWindow()
    for _ in range(50):
        window.enter()
    for _ in range(49):
        window.leave()

    assert window.chunks == SHARED
