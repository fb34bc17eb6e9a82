"""What people may search for: Go's patterns, made safe."""

import time

import pytest

from services.api.patterns import pattern


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("[[:alpha:]]cho", "  command: Echo", True),
        ("[[:digit:]]cho", "  command: echo", False),
        ("^[^[:space:]]+$", "steps:", True),
        ("^[^[:space:]]+$", "two words", False),
        ("[[:^digit:]]", "123", False),
        ("[[:^digit:]]", "1a3", True),
        ("[_[:alnum:].-]{3}", "a-b", True),
        ("[][:punct:]]x", "]x", True),
        ("^[[:upper:]]$", "a", True),
        (r"hi\z", "echo hi", True),
        (r"hi\z", "echo hi!", False),
        (r"\[[:alpha:]", "[p", True),
        ("[[]", "a[0]", True),
        ("[a&&b]", "x & y", True),
        ("^[+--]$", ",", True),
        ("[:alpha:]", "p", True),
        ("[:alpha:]", "x", False),
        # Words with anything between them, however many.
        ("a.*b.*c.*d.*e", "a1b2c3d4e", True),
        ("a.*b.*c.*d.*e", "a1b2c3e4d", False),
        (".*name.*x: .*", "  name of it x: 1", True),
        ("ab.*ab", "ab", False),
        ("ab.*ab", "xabab", True),
        # Not understood, or too costly: as it stands.
        ("(((", "x(((y", True),
        ("[[:nonsense:]]", "[[:nonsense:]]", True),
        ("[[:^punct:]]", "[[:^punct:]]", True),
        ("[[:alpha:]", "[[:alpha:]", True),
        (r"\Qa.b\E", r"\Qa.b\E", True),
        ("(a+)+$", "aaa", False),
        ("a*b+c*d+e*f", "bdf", False),
        ("\\", "a\\b", True),
    ],
)
def test_a_pattern_means_what_it_means_in_go(text: str, line: str, found: bool) -> None:
    wanted, _ = pattern(text)

    assert bool(wanted.search(line)) is found


@pytest.mark.parametrize(
    "text", ["a.*a.*a.*a.*a.*b", "a*a*a*b", "(a|a)*b", "(a+)+b", "a.*a.*b", "[[:alpha:]]*[[:alpha:]]*b", "[" * 200]
)
def test_no_pattern_takes_long_on_a_line(text: str) -> None:
    wanted, chars = pattern(text)
    began = time.process_time()

    wanted.search(("a" * 5000)[:chars])

    assert time.process_time() - began < 2
