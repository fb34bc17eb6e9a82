"""Guesses of passwords and tokens cost a wait, and keep nobody else out."""

from services.api.auth.guesses import Guesses
from services.api.problems import Problem
from shared.login_failures import Guesser, by_address, by_login


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def wait_of(guesses: Guesses, *guessers: Guesser) -> int:
    try:
        guesses.check(*guessers)
    except Problem as problem:
        return int(problem.headers["Retry-After"])
    return 0


def test_each_further_failure_doubles_the_wait() -> None:
    clock = Clock()
    guesses, ann = Guesses(clock=clock), by_login("ann", "192.0.2.1")
    waits = []
    for _ in range(20):
        guesses.failed(ann)
        waits.append(wait_of(guesses, ann))
        clock.now += waits[-1]

    assert waits[:9] == [0] * 9
    assert waits[9:15] == [16, 31, 61, 121, 241, 481]
    assert max(waits) <= 901


def test_a_guesser_keeps_out_nobody_at_another_address() -> None:
    guesses = Guesses(clock=Clock())
    for _ in range(1000):
        guesses.failed(by_login("ann", "192.0.2.1"), by_address("192.0.2.1"))

    assert wait_of(guesses, by_login("ann", "192.0.2.1"))
    assert wait_of(guesses, by_address("192.0.2.1"))
    assert not wait_of(guesses, by_login("ann", "192.0.2.2"), by_address("192.0.2.2"))
    assert not wait_of(guesses, by_login("ben", "192.0.2.1"))


def test_failures_are_forgiven_with_time_and_by_the_right_password() -> None:
    clock = Clock()
    guesses, ann, ben = Guesses(clock=clock), by_login("ann", "192.0.2.1"), by_login("ben", "192.0.2.1")
    for _ in range(9):
        guesses.failed(ann, ben)
    guesses.succeeded(ann)
    guesses.failed(ann, ben)
    assert [wait_of(guesses, each) for each in (ann, ben)] == [0, 16]

    clock.now += 11 * 900
    guesses.failed(ben)
    assert not wait_of(guesses, ben)


def test_memory_is_limited_and_the_oldest_go_first() -> None:
    guesses = Guesses(clock=Clock())
    for number in range(10_001):
        for _ in range(10):
            guesses.failed(by_login(f"u{number}", "192.0.2.1"))

    waiting = [number for number in (0, 1, 10_000) if wait_of(guesses, by_login(f"u{number}", "192.0.2.1"))]
    assert waiting == [1, 10_000]


def test_addresses_of_one_ipv6_network_count_together() -> None:
    assert by_address("2001:db8::1") == by_address("2001:db8::ffff:1")
    assert by_address("2001:db8::1") != by_address("2001:db8:1::1")
    assert by_login("u", "192.0.2.9") != by_login("u", "192.0.2.10")
    assert by_address("").key == "address "
