"""Run coroutines and functions away from the event loop that tests with a browser leave in the main thread."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["in_thread", "run_coroutine"]

T = TypeVar("T")


def in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread of its own, where it may start an event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def run_coroutine(coroutine: Coroutine[Any, Any, T]) -> T:
    """Do what ``asyncio.run`` does. That fails in the main thread once a browser was used there."""
    return in_thread(lambda: asyncio.run(coroutine))
