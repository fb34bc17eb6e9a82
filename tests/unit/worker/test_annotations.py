"""Lines of a step's output that say something about the step."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.output.annotations import Annotations


def marks(*pieces: bytes, most_output: int = 1000) -> Annotations:
    made = Annotations(most_output)
    for piece in pieces:
        made.feed(piece)
    made.close()
    return made


def told(found: Annotations) -> dict[str, Any]:
    progress = found.progress and (found.progress.current, found.progress.total, found.progress.text)
    return {"progress": progress, "remarks": [(one.level, one.text) for one in found.remarks], "outputs": found.outputs}


TEXT = b"one\n::progress 1/4 begun\n::notice look here\n::output A=1\nx ::notice no\n::warning hot\n"
TEXT += b"::output A= 2 \n::progress 2/4"
SAID = {
    "progress": (2, 4, ""),
    "remarks": [("notice", "look here"), ("warning", "hot")],
    "outputs": {"A": "2"},
}


def test_the_last_of_each_counts() -> None:
    assert told(marks(TEXT)) == SAID


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_it_does_not_matter_how_the_stream_is_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[a:b] for a, b in pairwise(places) if a < b]

    assert told(marks(*pieces)) == SAID


@pytest.mark.parametrize(
    "line",
    [
        b"::progress 5/4",
        b"::progress 1/0",
        b"::progress a/b",
        b"::progress",
        b"::notice",
        b"::output 1A=x",
        b"::output A",
        b" ::notice x",
        b"::other x",
        b"::",
        b"::notice " + b"x" * 9000,
        b"\xff\xfe::notice x",
    ],
)
def test_what_is_not_quite_such_a_line_means_nothing(line: bytes) -> None:
    found = marks(line + b"\n")

    assert (told(found), found.version) == ({"progress": None, "remarks": [], "outputs": {}}, 0)


def test_there_is_an_end_to_what_is_kept() -> None:
    found = marks(*(b"::notice %d\n" % number for number in range(100)), b"::notice " + b"y" * 2000 + b"\n")

    assert (len(found.remarks), found.remarks[0].text, len(found.remarks[-1].text)) == (20, "81", 500)


def test_outputs_that_are_too_large_are_left_out_and_said_to_be() -> None:
    found = marks(b"::output A=12345\n::output B=123456\n", most_output=10)

    assert found.outputs == {"A": "12345"}
    assert [one.text for one in found.remarks] == ["output B is ignored: all outputs together are too large"]
