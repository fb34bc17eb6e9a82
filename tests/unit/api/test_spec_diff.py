"""The changes between two specs."""

import difflib
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.representations import spec_diff
from services.api.representations.spec_diff import unified_diff

LINES = st.lists(st.sampled_from(["a", "b", "@@ -1 +1 @@", "", "- x"]), max_size=40)


def applied(changes: Iterable[str], before: list[str]) -> list[str]:
    """Return the text that the changes make of another one, after checking each line that they say it has."""
    after: list[str] = []
    done = 0
    for line in list(changes)[2:]:
        if line.startswith("@@"):
            found = re.fullmatch(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,\d+)? @@", line)
            assert found is not None
            begin = int(found[1]) - (found[2] != "0")
            after += before[done:begin]
            done = begin
            continue
        if line[0] in " -":
            assert before[done] == line[1:]
            done += 1
        if line[0] in " +":
            after.append(line[1:])
    return after + before[done:]


@given(LINES, LINES)
def test_the_changes_make_the_new_text_of_the_old_one(before: list[str], after: list[str]) -> None:
    assert applied(unified_diff(before, after, "a", "b"), before) == after


@given(LINES, LINES)
def test_many_changes_do_too(before: list[str], after: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spec_diff, "_MOST_COMPARED", 5)
        assert applied(unified_diff(before, after, "a", "b"), before) == after


def test_it_is_the_diff_that_everybody_knows() -> None:
    before = [f"line {number}" for number in range(100)]
    after = [*before[:20], "new", *before[20:60], "other", *before[61:]]

    assert list(unified_diff(before, after, "a", "b")) == list(
        difflib.unified_diff(before, after, "a", "b", lineterm="")
    )


@pytest.mark.timeout(20)
def test_a_change_of_every_second_line_takes_no_long_time() -> None:
    before, after = ([line for n in range(10_000) for line in (f"# {n % 100}", f"{side} {n}")] for side in "ab")

    changes = list(unified_diff(before, after, "a", "b"))

    assert applied(changes, before) == after
    assert changes[:5] == ["--- a", "+++ b", "@@ -1,20000 +1,20000 @@", " # 0", "-a 0"]
