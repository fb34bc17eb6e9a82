"""Globs of expansions: no text keeps the process busy, whatever the pattern."""

import pytest

from shared.language.expansion.expand import Scope, expand
from shared.language.expansion.globs import replace, trim_prefix, trim_suffix
from tests.harness.cpu_time import within_cpu_time


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("${X//a*b/x}", "a" * 200_000),
        ("${X//*a*b*a/x}", "a" * 200_000),
        ("${X##*a*a*a*b}", "a" * 200_000),
        ("${X%%[!a]*b}", "a" * 200_000),
        ("${X//a*a/x}", "x"),
    ],
)
def test_the_time_grows_with_the_length_of_the_value_only(text: str, expanded: str) -> None:
    with within_cpu_time(2):
        assert expand(text, Scope(({"X": "a" * 200_000},))) == expanded


def test_a_glob_that_stands_for_too_many_characters_matches_nothing() -> None:
    assert trim_prefix("a" * 2_000, "?" * 1_001, longest=True) == "a" * 2_000
    assert trim_prefix("a" * 2_000, "?" * 1_000, longest=True) == "a" * 1_000
    # As it is without special characters, it may be as long as the value.
    assert trim_prefix("a" * 2_000 + "b", "a" * 2_000, longest=True) == "b"
    assert trim_suffix("b" + "a" * 2_000, "a" * 2_000, longest=True) == "b"
    assert replace("b" + "a" * 2_000, "a" * 2_000, "c", every=True) == "bc"


def test_bytes_of_the_host_that_are_no_text_are_characters_too() -> None:
    assert replace("a\udc80b\udcffc", "\udc80?", "x", every=True) == "ax\udcffc"
    assert trim_suffix("a\udc80b\udcff", "[\udc80]*", longest=False) == "a"


def test_a_glob_that_matches_everything_is_replaced_once() -> None:
    assert [replace(text, "*", "x", every=True) for text in ("abc", "a\n", "")] == ["x", "x", "x"]
    assert replace("abc", "b*", "x", every=True) == "ax"
