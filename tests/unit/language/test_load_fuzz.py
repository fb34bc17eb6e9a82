"""The loader reads thousands of hostile texts without a crash, without a hang and in bounded memory."""

import random
import resource

from tests.unit.language.fuzzing import fuzz

ROUNDS = 5_000
"""About five seconds of CPU time. ``fuzzing.py`` run as a program tries more."""
_MOST_KIB = 512 * 1024


def test_no_text_breaks_what_reads_it() -> None:
    seed = random.randrange(10**9)  # pytest-randomly seeds it: a failure can be repeated
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    fuzz(ROUNDS, seed)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_KIB, f"seed {seed}"
