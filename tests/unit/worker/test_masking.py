"""Secret values are masked, however the stream is split."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from services.worker.output.masking import Masker

_TEXT = st.text("ab\n", max_size=40)


@given(st.lists(st.text("ab", max_size=5), max_size=4), _TEXT, st.lists(st.integers(0, 40), max_size=6))
def test_masking_does_not_depend_on_how_the_stream_is_split(secrets: list[str], text: str, cuts: list[int]) -> None:
    data = text.encode()
    masker = Masker(secrets)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [masker.feed(data[start:end]) for start, end in pairwise(edges)]

    assert b"".join(pieces) + masker.close() == Masker(secrets).text(text).encode()
    assert not any(secret and secret.encode() in b"".join(pieces) for secret in secrets)


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    masker = Masker(["hunter2", "a-much-longer-secret-value"])

    assert masker.feed(b"progress 10%") == b"progress 10%"
    assert masker.feed(b" hunt") == b" "
    assert masker.feed(b"ing") == b"hunting"
    assert masker.feed(b" hunter") == b" "
    assert masker.feed(b"2!") == b"*******!"
    assert masker.close() == b""


def test_the_longest_value_wins_and_empty_ones_mask_nothing() -> None:
    assert Masker(["ab", "abc", ""]).text("xabcab") == "x**************"
