"""The order of the tests of several processes."""

from itertools import groupby
from pathlib import Path
from random import Random

import pytest

from tests.harness.share_out import shared_out

FILES = {"faults/a": 9, "ui/b": 8, "unit/c": 900, "faults/d": 11, "integration/e": 90, "conformance/f": 100, "ui/g": 12}


@pytest.mark.parametrize("processes", [1, 2, 4, 7])
def test_every_process_begins_with_its_part_of_the_long_tests(processes: int) -> None:
    tests = [Path("tests", file) for file, count in FILES.items() for _ in range(count)]

    order = shared_out(tests, processes)

    assert sorted(order) == list(range(len(tests)))
    shares = []
    rest = list(order)
    for left in range(processes, 0, -1):
        share, rest = rest[: len(rest) // left], rest[len(rest) // left :]
        shares.append([tests[place].parent.name for place in share])
    assert all(folders[-1] == "unit" for folders in shares)
    if processes == 2:
        assert all(folders[0] in {"conformance", "faults", "ui", "integration"} for folders in shares)
        long = [sum(folder in {"faults", "ui"} for folder in folders) for folders in shares]
        assert min(long) > 0


def test_the_tests_of_a_folder_stay_together_in_one_process() -> None:
    tests = [Path("tests", file) for file, count in FILES.items() for _ in range(count)]
    Random(1).shuffle(tests)

    folders = [tests[place].parent for place in shared_out(tests, 1)]

    assert len(list(groupby(folders))) == len(set(folders))


def test_no_tests_and_only_short_ones() -> None:
    assert shared_out([], 4) == []
    assert shared_out([Path("tests/unit/a")] * 3, 4) == [0, 1, 2]
