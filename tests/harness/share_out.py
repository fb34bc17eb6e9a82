"""The order of the tests, so that several processes end at about the same time."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

_SECONDS = {
    "acceptance": 0.8,
    "alerts": 1.5,
    "chaos": 2.6,
    "conformance": 0.6,
    "deploy": 0.8,
    "e2e": 1.7,
    "faults": 14,
    "integration": 0.75,
    "security": 3.1,
    "simulation": 9,
    "ui": 4.3,
}
"""How long a test of each folder takes on average. The tests of other folders fill up what remains.

A process that takes tests from another sets up what their module shares once more, so only tests that share little, as
unit tests do, may stand at the end.
"""


def shared_out(tests: Sequence[Path], processes: int) -> list[int]:
    """Return the order of tests, as their places in ``tests``: the file of each.

    With ``--dist=worksteal`` each process begins with an equal number of consecutive tests, and an idle process takes
    tests from the end of another's. So the share of each process begins with its part of the long tests, measured by
    time, and ends with short ones. Tests of a folder stay together, since they share running systems; the order of
    files and of tests in a file stays as it is.
    """
    together: dict[Path, dict[Path, list[int]]] = {}
    for place, file in enumerate(tests):
        together.setdefault(file.parent, {}).setdefault(file, []).append(place)
    files = [places for folder in together.values() for places in folder.values()]
    long = [each for each in files if _seconds(tests[each[0]])]
    short = iter([place for each in files if not _seconds(tests[each[0]]) for place in each])

    order: list[int] = []
    parts = _parts(long, [_seconds(tests[each[0]]) * len(each) for each in long], processes)
    for part, left in zip(parts, range(processes, 0, -1), strict=True):
        size = (len(tests) - len(order)) // left
        order += part
        order += islice(short, max(0, size - len(part)))
    return [*order, *short]


def _seconds(file: Path) -> float:
    return _SECONDS.get(file.parent.name, 0)


def _parts(files: list[list[int]], seconds: list[float], count: int) -> Iterator[list[int]]:
    """Cut the files into ``count`` parts of about equal time."""
    total, before, of = sum(seconds), 0.0, []
    for each in seconds:
        of.append(min(int((before + each / 2) / total * count), count - 1))
        before += each
    parts = {number: list(group) for number, group in groupby(range(len(files)), key=of.__getitem__)}
    for number in range(count):
        yield [place for file in parts.get(number, []) for place in files[file]]
