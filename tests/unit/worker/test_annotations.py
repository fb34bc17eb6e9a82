"""Annotations: lines of a step's output that begin with ``::``."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.output.annotations import Annotations


def annotations(*pieces: bytes, max_output_bytes: int = 1000) -> Annotations:
    found = Annotations(max_output_bytes)
    for piece in pieces:
        found.feed(piece)
    found.close()
    return found


def shown(found: Annotations) -> dict[str, Any]:
    progress = found.progress and (found.progress.current, found.progress.total, found.progress.text)
    return {"progress": progress, "remarks": [(one.level, one.text) for one in found.remarks], "outputs": found.outputs}


TEXT = b"one\n::progress 1/4 begun\n::notice look here\n::output A=1\nx ::notice no\n::warning hot\n"
TEXT += b"::output A= 2 \n::progress 2/4"
SHOWN = {
    "progress": (2, 4, ""),
    "remarks": [("notice", "look here"), ("warning", "hot")],
    "outputs": {"A": "2"},
}


def test_the_last_progress_remarks_and_outputs_count() -> None:
    assert shown(annotations(TEXT)) == SHOWN


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_it_does_not_matter_how_the_stream_is_split(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[a:b] for a, b in pairwise(places) if a < b]

    assert shown(annotations(*pieces)) == SHOWN


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
def test_a_line_that_is_not_exactly_an_annotation_is_ignored(line: bytes) -> None:
    found = annotations(line + b"\n")

    assert (shown(found), found.version) == ({"progress": None, "remarks": [], "outputs": {}}, 0)


def test_the_number_and_length_of_remarks_are_limited() -> None:
    found = annotations(*(b"::notice %d\n" % number for number in range(100)), b"::notice " + b"y" * 2000 + b"\n")

    assert (len(found.remarks), found.remarks[0].text, len(found.remarks[-1].text)) == (20, "81", 500)


def test_an_output_that_is_set_again_takes_the_place_of_its_earlier_value() -> None:
    found = annotations(
        *(b"::output DONE=%d\n::output OF=100\n" % number for number in range(101)), max_output_bytes=12
    )

    assert (found.outputs, found.remarks) == ({"DONE": "100", "OF": "100"}, ())


def test_outputs_that_are_too_large_are_ignored_with_a_warning() -> None:
    found = annotations(b"::output A=12345\n::output B=12345\n", max_output_bytes=11)

    assert found.outputs == {"A": "12345"}
    assert [one.text for one in found.remarks] == [
        "::output B is ignored: all ::output names and values together exceed maxOutputSize"
    ]


def test_names_without_values_do_not_fill_the_memory() -> None:
    found = annotations(b"".join(b"::output N%04d=\n" % number for number in range(1000)), max_output_bytes=500)

    assert (len(found.outputs), len(found.remarks)) == (100, 20)
