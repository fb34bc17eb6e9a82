"""Waiting for a condition: the only place in the tests that sleeps."""

import os
import random
import socket
import time
import urllib.request
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE_S", "answers_200", "eventually", "free_port"]

T = TypeVar("T")

PATIENCE_S = 120.0
"""How long a test waits before it fails. It bounds a hang and measures no speed: busy machines are slow."""

_BELOW_EPHEMERAL = (15_000, 32_000)
"""Ports that the kernel gives to no outgoing connection, so a restarted server finds its port still free."""
_SHARE = 20
"""A pause is at most this part of the time waited so far, since each try costs CPU time."""
_SLOWEST_S = 0.2
_ANSWER_S = 5

_given: set[int] = set()


def eventually(
    condition: Callable[[], T], *, timeout_s: float = PATIENCE_S, every_s: float = 0.02, slowest_s: float = _SLOWEST_S
) -> T:
    """Return ``condition()`` once it raises no AssertionError and is not ``False``.

    Tries every ``every_s`` seconds at first, and less often the longer it waits: in the end every ``slowest_s``.

    ``condition`` may be a predicate, a function with asserts, or a function whose return value the test
    needs. Exceptions other than AssertionError pass through. A predicate says no by ``False`` alone: ``None``, 0 and
    empty values end the wait as any other value does.

    Raises:
        AssertionError: the condition did not hold within ``timeout_s``; contains the reason of the last try.
    """
    began = time.monotonic()
    deadline = began + timeout_s
    while True:
        try:
            answer = condition()
        except AssertionError as failure:
            if time.monotonic() >= deadline:
                msg = f"not within {timeout_s:g} s: {failure}"
                raise AssertionError(msg) from failure
        else:
            if answer is not False:
                return answer
            if time.monotonic() >= deadline:
                msg = f"not within {timeout_s:g} s: {getattr(condition, '__qualname__', condition)}"
                raise AssertionError(msg)
        time.sleep(max(every_s, min(slowest_s, (time.monotonic() - began) / _SHARE)))


def answers_200(url: str) -> bool:
    """Whether a server on loopback answers a GET of this URL by status 200 within some seconds."""
    if not url.startswith(("http://127.0.0.1:", "http://[::1]:")):
        msg = f"not a loopback address: {url}"
        raise ValueError(msg)
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def free_port() -> int:
    """Return a loopback TCP port on which no process listens. Never returns the same port twice.

    Each test process has ports of its own: a server that a test has stopped finds its port free when it starts again.
    """
    # Not the shared generator: pytest-randomly gives it the same seed in every xdist worker.
    dice = random.SystemRandom()
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    # A process that replaces one that crashed has a number beyond their count.
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % processes
    while True:
        port = dice.randint(*_BELOW_EPHEMERAL)
        if port % processes != place:
            continue
        if port in _given:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
