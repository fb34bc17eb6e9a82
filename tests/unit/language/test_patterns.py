"""Regular expressions mean what they mean in Go."""

import contextlib
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.language.patterns import PatternError, compile_pattern


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^[[:digit:]]+$", "42", "42"),
        ("^[[:alpha:]]+ [[:digit:]]+$", "abc 42", "abc 42"),
        ("[[:^space:]x]+", " aé ", "aé"),
        ("[^[:upper:]-]+", "AB-cd", "cd"),
        (r"\pL+", "1äß2", "äß"),
        (r"\p{Lu}\P{Lu}+", "xÄbc", "Äbc"),
        (r"[\pN_]+", "a1_½", "1_½"),
        (r"[^\pL]+", "ab12", "12"),
        (r"\p{^L}", "ab1", "1"),
        (r"\Qa.b(\E+", "xa.b((", "a.b(("),
        (r"\Qa.b", "axb a.b", "a.b"),
        (r"b\z", "ab", "b"),
        (r"(?<x>a)(?P<y>b)", "ab", "ab"),
        ("^(?i)ab", "AB", "AB"),
        ("a(?i)b|c", "C", "C"),
        ("a(?i)b|c", "AB", None),
        ("x(?:a(?i)b|c)d", "xCD", None),
        ("x(?:a(?i)b|c)d", "xCd", "xCd"),
        ("(?i)a(?-i)b", "Ab", "Ab"),
        ("(?i)a(?-i)b", "AB", None),
        (r"\d+", "٣4", "4"),
        (r"\w+\b", "éa", "a"),
        (r"[\w-]+", "é a-b", "a-b"),
        (r"[^\D]+", "a12", "12"),
        (r"\x{2014}[\x{61}-\x{63}]", "—b", "—b"),
        ("[]a]+", "x]a", "]a"),
        ("[[a]+", "x[a", "[a"),
        ("[a&&b||~~]+", "x&|~b", "&|~b"),
        ("[+--]+[a-c-]+", "x+,-b-", "+,-b-"),
        (r"[\x41-\x43\101-\103]+", "xABC", "ABC"),
        ("[[:^alpha:]]+[[:^cntrl:]]", "a1é", "1é"),
        (r"[\]\-]+", "x]-", "]-"),
        ("[a-]+", "b-a", "-a"),
        ("a{,3}", "aa{,3}", "a{,3}"),
        ("a{1,2}", "aaa", "aa"),
        ("^code=\\d+$", "code=7", "code=7"),
        ("a|b", "b", "b"),
    ],
)
def test_a_pattern_means_what_go_means_by_it(pattern: str, text: str, found: str | None) -> None:
    match = compile_pattern(pattern).search(text)

    assert (match and match[0]) == found


@pytest.mark.parametrize(
    "pattern",
    ["[", "(", ")", "a**", "[[:nope:]]", r"\p{Nope}", "\\", "[\\", r"\x{110000}", "[b-a]", r"[a-\d]", "(?<=a)b"],
)
def test_an_invalid_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(PatternError):
        compile_pattern(pattern)


@given(st.text(alphabet="ab[]()\\^$|?*+{}-:,.12pLQEizs&~#", max_size=20))
def test_nothing_else_is_raised(pattern: str) -> None:
    with contextlib.suppress(PatternError):
        compile_pattern(pattern)


@example(r"\\EE")
@given(st.text(max_size=20))
def test_what_is_quoted_is_found_as_it_stands(text: str) -> None:
    literal = re.sub(r"\\+E", "", text)  # backslashes before it too, which would end the quote at a second E

    assert compile_pattern(f"\\Q{literal}\\E").fullmatch(literal)
    assert compile_pattern(re.escape(text)).fullmatch(text)
