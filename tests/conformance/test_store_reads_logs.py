"""Reads of logs by lines: every window equals that part of the whole text."""

import random

import pytest
from sqlalchemy import Engine, event

from shared.store import tables as t
from shared.store.reads.reader import LogWindow, Reads
from shared.store.reads.rows import LogHits
from tests.conformance.store_rows import NOW, add, add_chunk, after


def _read(reads: Reads, offset: int = 0, limit: int = 1000) -> tuple[bytes, ...]:
    return reads.log_lines("r", 0, "stdout", offset=offset, limit=limit).lines


def test_an_empty_log_has_no_lines(reads: Reads) -> None:
    assert reads.log_lines("r", 0, "stdout", limit=10) == LogWindow((), 0, 0)
    assert reads.log_tail("r", 0, "stdout", limit=10) == LogWindow((), 0, 0)
    assert list(reads.log_pieces("r", 0, "stdout")) == []


@pytest.mark.parametrize(
    ("chunks", "lines"),
    [
        ([b"a\nb\n"], [b"a", b"b"]),
        ([b"a\nb"], [b"a", b"b"]),
        ([b"a", b"b", b"c\nd"], [b"abc", b"d"]),
        ([b"a\n", b"\n", b"\n"], [b"a", b"", b""]),
        ([b"\n"], [b""]),
        ([b""], []),
        ([b"a\n", b""], [b"a"]),
        ([b"", b"a", b"", b"\nb"], [b"a", b"b"]),
        ([b"\xff\xfe\n\x00"], [b"\xff\xfe", b"\x00"]),
        ([b"a\r\nb\r\n"], [b"a\r", b"b\r"]),
    ],
)
def test_lines_are_put_together_over_chunks(
    engine: Engine, reads: Reads, chunks: list[bytes], lines: list[bytes]
) -> None:
    for seq, data in enumerate(chunks):
        add_chunk(engine, seq, data)

    assert _read(reads) == tuple(lines)
    assert reads.log_tail("r", 0, "stdout", limit=1).total == len(lines)


def test_what_comes_after_a_gap_is_left_out_until_the_gap_is_filled(engine: Engine, reads: Reads) -> None:
    """As when one of two schedulers stands still, which has some of the chunks: who follows would miss lines."""
    for seq in (0, 1, 3, 5):
        add_chunk(engine, seq, b"line %d\n" % seq)
    assert _read(reads) == (b"line 0", b"line 1")
    assert reads.log_tail("r", 0, "stdout", limit=1) == LogWindow((b"line 1",), 1, 2)
    assert b"".join(reads.log_pieces("r", 0, "stdout")) == b"line 0\nline 1\n"

    add_chunk(engine, 2, b"")
    assert _read(reads) == (b"line 0", b"line 1", b"line 3")
    add_chunk(engine, 4, b"line 4\n")
    assert _read(reads) == (b"line 0", b"line 1", b"line 3", b"line 4", b"line 5")


def test_a_log_that_begins_with_a_gap_is_empty_until_it_is_filled(engine: Engine, reads: Reads) -> None:
    add_chunk(engine, 1, b"two\n")
    assert _read(reads) == ()

    add_chunk(engine, 0, b"one\n")
    assert _read(reads) == (b"one", b"two")


def test_a_gap_is_not_waited_for_when_its_attempt_has_ended_or_output_goes_on_for_a_minute(
    engine: Engine, reads: Reads
) -> None:
    for token, number in (("ended", 1), ("open", 2)):
        add_chunk(engine, 1, b"%s\n" % token.encode(), token=token, number=number)
    assert _read(reads) == ()

    columns = {"node": 0, "run_attempt": 1, "number": 1, "state": "finished", "error": ""}
    add(engine, t.attempts, {"token": "ended", "run_key": "r", "dispatched_at": NOW, "finished_at": NOW, **columns})
    assert _read(reads) == (b"ended",)
    add_chunk(engine, 3, b"later\n", token="open", number=2, at=after(59))
    assert _read(reads) == (b"ended",)
    add_chunk(engine, 4, b"latest\n", token="open", number=2, at=after(60))
    assert _read(reads) == (b"ended", b"open")


def test_every_window_equals_that_part_of_the_whole_text(engine: Engine, reads: Reads) -> None:
    dice = random.Random(7)
    expected: list[bytes] = []
    for number, token in ((1, "zz"), (2, "aa"), (3, "mm")):
        text = b"".join(dice.choice([b"\n", b"x", b"yy", b"\n\n"]) for _ in range(40))
        expected += text.removesuffix(b"\n").split(b"\n")
        begin = seq = 0
        while begin < len(text):
            end = begin + dice.randint(1, 9)
            add_chunk(engine, seq, text[begin:end], token=token, number=number, offset=begin)
            begin, seq = end, seq + 1

    total = len(expected)
    for offset in range(total + 2):
        for limit in (1, 2, 7, total):
            window = reads.log_lines("r", 0, "stdout", offset=offset, limit=limit)
            assert window == LogWindow(tuple(expected[offset : offset + limit]), offset, total)
    for limit in (1, 5, total, total + 5):
        tail = reads.log_tail("r", 0, "stdout", limit=limit)
        assert tail == LogWindow(tuple(expected[-limit:]), max(total - limit, 0), total)
    whole = b"".join(line + b"\n" for line in expected)
    for most in (1, 9, 30, 10_000):
        pieces = list(reads.log_pieces("r", 0, "stdout", most_bytes=most))
        assert b"".join(pieces) == whole
        assert max(map(len, pieces)) <= max(most, 9)


def test_the_pieces_of_a_log_are_found_once_and_each_of_its_chunks_is_read_once(
    engine: Engine, reader: Engine, reads: Reads
) -> None:
    text = b"".join(b"%04d\n" % number for number in range(400))
    for seq, begin in enumerate(range(0, len(text), 10)):
        add_chunk(engine, seq, text[begin : begin + 10], offset=begin)
    asked: list[str] = []
    event.listen(reader, "before_cursor_execute", lambda _1, _2, statement, *_: asked.append(statement))

    assert b"".join(reads.log_pieces("r", 0, "stdout", most_bytes=20)) == text

    # The list of chunks, the end of the last one, and 100 pieces.
    assert len([each for each in asked if "log_chunks" in each]) == 102


@pytest.mark.parametrize("most", [1, 8, 30, 200])
def test_a_window_of_long_lines_is_bounded_by_bytes(engine: Engine, reads: Reads, most: int) -> None:
    dice = random.Random(9)
    text = b"".join(b"x" * dice.choice([0, 1, 5, 60]) + b"\n" for _ in range(40))
    for seq, begin in enumerate(range(0, len(text), 7)):
        add_chunk(engine, seq, text[begin : begin + 7], offset=begin)
    expected = text.removesuffix(b"\n").split(b"\n")

    found: list[bytes] = []
    while len(found) < len(expected):
        window = reads.log_lines("r", 0, "stdout", offset=len(found), limit=1000, most_bytes=most).lines
        assert len(window) > 0
        assert len(window) == 1 or len(b"\n".join(window)) <= most + 7
        found += window
    tail = reads.log_tail("r", 0, "stdout", limit=1000, most_bytes=most)

    for got, line in zip(found, expected, strict=True):
        shown, cut, _ = got.partition(b" [the rest of this line")
        assert line.startswith(shown) if cut else got == line
    assert any(b"not shown" in got for got in found) == (most < 60)
    assert tail.lines
    assert tail.offset + len(tail.lines) == len(expected)
    assert tail.lines == tuple(expected[tail.offset :]) or most < 60
    assert len(b"\n".join(tail.lines).partition(b" [")[0]) <= max(most + 7, 60)


def test_a_search_finds_the_lines_of_the_whole_text_in_bounded_steps(engine: Engine, reads: Reads) -> None:
    add_chunk(engine, 0, b"Error one\nfine\nan err", token="b")
    add_chunk(engine, 1, b"or over two chunks\n", token="b")
    add_chunk(engine, 0, b"fine\nERROR, unended", token="a", number=2)

    def search(text: bytes, *, offset: int = 0, limit: int = 9, most: int = 9) -> LogHits:
        return reads.log_search("r", 0, "stdout", text, offset=offset, limit=limit, most=most)

    assert search(b"eRRor") == LogHits((0, 2, 4), 5, 5)
    assert search(b"error", limit=2) == LogHits((0, 2), 3, 5)
    assert search(b"error", offset=3, most=1) == LogHits((), 4, 5)
    assert search(b"error", offset=99) == LogHits((), 5, 5)
    assert search(b"one\nfine") == LogHits((), 5, 5), "a text is searched in single lines"


@pytest.mark.parametrize("most_bytes", [9, 25])
def test_a_search_that_ends_early_skips_no_part_of_a_line(engine: Engine, reads: Reads, most_bytes: int) -> None:
    text = b"".join(b"%03d and\n" % number for number in range(40))
    for seq, begin in enumerate(range(0, len(text), 7)):
        add_chunk(engine, seq, text[begin : begin + 7], offset=begin)

    hits: list[int] = []
    at = 0
    while at < 40:
        found = reads.log_search("r", 0, "stdout", b"and", offset=at, limit=99, most=99, most_bytes=most_bytes)
        hits += found.lines
        at = found.end

    assert hits == list(range(40))


def test_a_line_is_cut_only_if_it_is_too_long_for_a_window_of_its_own(engine: Engine, reads: Reads) -> None:
    add_chunk(engine, 0, b"first one\n", token="a", number=1)
    for seq, data in enumerate([b"the sec", b"ond\n"]):
        add_chunk(engine, seq, data, token="b", number=2)

    def window(offset: int) -> tuple[bytes, ...]:
        return reads.log_lines("r", 0, "stdout", offset=offset, limit=9, most_bytes=12).lines

    assert (window(0), window(1)) == ((b"first one",), (b"the second",))


def test_retries_follow_each_other_and_each_begins_a_line(engine: Engine, reads: Reads) -> None:
    add_chunk(engine, 0, b"second try\n", token="b", number=2)
    add_chunk(engine, 0, b"first try, cut off", token="z", number=1)

    assert _read(reads) == (b"first try, cut off", b"second try")


def test_only_the_latest_attempt_of_the_run_that_wrote_is_shown(engine: Engine, reads: Reads) -> None:
    add_chunk(engine, 0, b"old\n", token="a", run_attempt=1)
    add_chunk(engine, 0, b"old err\n", token="a", run_attempt=1, stream="stderr")
    add_chunk(engine, 0, b"new\n", token="b", run_attempt=2)

    assert _read(reads) == (b"new",)
    assert reads.log_lines("r", 0, "stderr", limit=9) == LogWindow((), 0, 0)


def test_other_nodes_runs_and_streams_are_left_out(engine: Engine, reads: Reads) -> None:
    add_chunk(engine, 0, b"mine\n")
    add_chunk(engine, 0, b"err\n", stream="stderr")
    add_chunk(engine, 0, b"other node\n", token="n", node=1)
    add_chunk(engine, 0, b"other run\n", token="o", run_key="r2")

    assert _read(reads) == (b"mine",)
    assert reads.log_lines("r", 0, "stderr", limit=9).lines == (b"err",)
    assert reads.log_lines("r", 1, "stdout", limit=9).lines == (b"other node",)


def test_a_window_fetches_only_the_chunks_that_hold_it(engine: Engine, reads: Reads) -> None:
    for seq in range(50):
        held = b"".join(b"line %d\n" % (seq * 10 + line) for line in range(10))
        add_chunk(engine, seq, held if seq in {24, 25} else b"not to be read\n", lines=10)

    window = reads.log_lines("r", 0, "stdout", offset=248, limit=4)

    assert window == LogWindow((b"line 248", b"line 249", b"line 250", b"line 251"), 248, 500)


def test_a_log_of_thousands_of_attempts_is_read(engine: Engine, reads: Reads) -> None:
    """As of a step that is repeated every second for an hour."""
    same = {"run_key": "r", "node": 0, "run_attempt": 1, "stream": "stdout", "seq": 0, "offset": 0, "at": NOW}
    rows = [same | {"token": f"t{n}", "number": n, "lines": 0, "data": b"line %d" % n} for n in range(3600)]
    with engine.begin() as connection:
        connection.execute(t.log_chunks.insert(), rows)

    assert reads.log_tail("r", 0, "stdout", limit=2) == LogWindow((b"line 3598", b"line 3599"), 3598, 3600)
