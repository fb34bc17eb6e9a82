"""The loader reads twenty seconds of hostile text without a crash, without a hang and in bounded memory."""

import resource
import time

import pytest

from tests.unit.language.fuzzing import TARGETS, fuzz

SECONDS = 20
_MOST_KIB = 512 * 1024


@pytest.mark.timeout(90)
def test_no_text_breaks_what_reads_it() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = fuzz(SECONDS, time.time_ns())

    assert taken.keys() == TARGETS.keys()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_KIB
