"""Splitting a command into words, in time in proportion to its length."""

from shared.language.steps.command_line import split_command, words_as_written
from tests.harness.cpu_time import within_cpu_time


def test_a_word_of_many_pieces_is_split_in_linear_time() -> None:
    text = "`a`" * 300_000

    with within_cpu_time(3):
        words = split_command(f"echo {text}")

    assert words == ("echo", text)


def test_words_as_written_lose_only_the_quotes_around_them() -> None:
    written = r"""x 'a\"b' "c\"d" K="v w" e|f||g '' 'open word"""

    assert words_as_written(written) == ("x", r"a\"b", 'c"d', 'K="v w"', "e", "|", "f", "||", "g", "", "'open word")
