"""Splitting a command takes time in proportion to its length."""

import time

from shared.language.steps.command_line import split_command


def test_a_word_of_many_pieces_is_split_in_linear_time() -> None:
    text = "`a`" * 300_000

    began = time.process_time()
    words = split_command(f"echo {text}")

    assert words == ("echo", text)
    assert time.process_time() - began < 3
