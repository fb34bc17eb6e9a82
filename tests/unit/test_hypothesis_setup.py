"""Hypothesis is set up so that its tests can run beside threads of a whole system."""

import gc

from hypothesis import given, settings
from hypothesis.strategies import integers


@settings(max_examples=1, database=None)
@given(integers())
def test_it_runs_nothing_during_a_garbage_collection(number: int) -> None:
    """Otherwise ``ast.parse`` fails at random in a process with threads: see ``tests/conftest.py``."""
    assert gc.callbacks == [], number
