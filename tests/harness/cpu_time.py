"""Limits of CPU time, which hold on a busy machine too."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["within_cpu_time"]


@contextmanager
def within_cpu_time(limit_s: float) -> Iterator[None]:
    """Fail if the block uses more CPU time than this.

    It is the time of all threads of the test process, without the processes that it starts.
    """
    began = time.process_time()
    yield
    spent = time.process_time() - began
    assert spent < limit_s, f"{spent:.1f} s of CPU time, and the limit is {limit_s:g} s"
