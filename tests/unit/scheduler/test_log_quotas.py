"""What is stored of logs when a workspace has used up its quota of a day."""

from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.deciding.limits.log_quotas import cut_logs, used_up_line

LINE = b"[cut]\n"
PARTS = st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=6)


def chunk(data: bytes, seq: int = 0, token: str = "a", stream: str = "stdout") -> dict[str, Any]:
    return {"token": token, "stream": stream, "seq": seq, "data": data, "lines": data.count(b"\n"), "dropped": 0}


def log(parts: list[bytes], token: str = "a") -> list[dict[str, Any]]:
    return [chunk(data, seq, token) for seq, data in enumerate(parts)]


def data_of(rows: list[dict[str, Any]], token: str = "a") -> bytes:
    return b"".join(row["data"] for row in rows if row["token"] == token)


def test_a_log_is_cut_behind_its_last_whole_line() -> None:
    stored, used = cut_logs(log([b"one\ntwo\n", b"three\nfour\n", b"five\n"]), {}, 15, LINE)

    assert data_of(stored) == b"one\ntwo\nthree\n" + LINE
    assert [row["lines"] for row in stored] == [2, 2, 0]
    # The quota is used up: nothing shorter fits into what is left of it.
    assert used == 15


def test_a_log_that_begins_later_has_the_line_only() -> None:
    stored, used = cut_logs([*log([b"x\n"] * 3), *log([b"y\n", b"z\n"], "b")], {}, 0, LINE)

    assert (data_of(stored), data_of(stored, "b"), used) == (LINE, LINE, 0)


def test_a_log_that_was_cut_before_is_not_told_again_and_goes_on_when_there_is_room() -> None:
    rest = [chunk(b"more\n", 1), chunk(b"and more\n", 2)]
    cut_before = {("a", "stdout", 0): 3}

    assert data_of(cut_logs(rest, cut_before, 0, LINE)[0]) == b""
    assert cut_logs(rest, cut_before, 100, LINE) == (rest, 14)
    # The chunk before was stored as it is, while another log used up the quota.
    assert data_of(cut_logs(rest, {("a", "stdout", 0): 0}, 0, LINE)[0]) == LINE


@given(order=st.permutations(range(8)), sizes=st.lists(st.integers(1, 8), min_size=1, max_size=8))
def test_chunks_in_any_order_have_the_line_once_where_some_are_missing(order: list[int], sizes: list[int]) -> None:
    known: dict[tuple[str, str, int], int] = {}
    stored = []
    left, rest = 20, [chunk(b"line\n", seq) for seq in order]
    for size in [*sizes, len(rest)]:
        batch, rest = rest[:size], rest[size:]
        rows, used = cut_logs(batch, known, left, LINE)
        left -= used
        known |= {(row["token"], row["stream"], row["seq"]): row["dropped"] for row in rows}
        stored += rows

    stored.sort(key=lambda row: row["seq"])
    holes = [cut for cut, _ in groupby(stored, key=lambda row: row["dropped"] != 0) if cut]
    assert data_of(stored).count(LINE) == len(holes) > 0


def test_a_chunk_that_is_delivered_twice_is_counted_once() -> None:
    first = chunk(b"hello\n")
    assert cut_logs([first, chunk(b"new\n", 1)], {("a", "stdout", 0): 0}, 4, LINE) == ([first, chunk(b"new\n", 1)], 4)


@given(parts=PARTS, other=PARTS, left=st.integers(0, 200))
def test_what_is_dropped_and_what_is_stored_is_what_was_sent(parts: list[bytes], other: list[bytes], left: int) -> None:
    sent = [*log(parts), *log(other, "b")]
    stored, used = cut_logs(sent, {}, left, LINE)

    assert [(row["token"], row["seq"]) for row in stored] == [(row["token"], row["seq"]) for row in sent]
    for row, was in zip(stored, sent, strict=True):
        assert len(row["data"]) + row["dropped"] == len(was["data"])
        assert row["lines"] == row["data"].count(b"\n")
    total = sum(len(row["data"]) for row in sent)
    assert used == min(left, total)
    if total <= left:
        assert stored == sent
    for token in ("a", "b"):
        assert sum(row["data"].endswith(LINE) for row in stored if row["token"] == token and row["dropped"]) <= 1


def test_the_line_names_the_quota_and_when_output_is_stored_again() -> None:
    line = used_up_line("acme", 1000, datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    assert line == (
        b"[log cut: the workspace acme has used up its quota of 1000 bytes of logs for 2026-12-31 (UTC); "
        b"output is stored again from 2027-01-01T00:00:00+00:00 on]\n"
    )
