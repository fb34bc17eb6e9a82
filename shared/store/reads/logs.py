"""Reads lines of a log without reading the whole log.

Each chunk's row has the number of line ends in the chunk. So the chunks with lines n to m are found without reading
bytes, and only the bytes of those chunks are fetched. A line may span chunks, and a chunk may have many lines. Each
attempt begins a new line, even if the previous attempt's last line has no line end.

Several schedulers store chunks, so one can be stored before an earlier one. While an attempt runs, what comes after
such a gap is left out, because those who follow the log go by the numbers of lines.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select, tuple_

from shared.store import tables as t
from shared.store.reads.base import Reader
from shared.store.reads.rows import LogHits, LogWindow

__all__ = ["LogReads"]

_c = t.log_chunks.c
_SEARCHED_AT_ONCE = 10_000
"""How many lines a search holds in memory."""
_PLACES_AT_ONCE = 500
"""How many chunks a statement names."""
_MOST_BYTES = 16_000_000
_PIECE_BYTES = 1_000_000
_GAP_LASTS = timedelta(minutes=1)
"""How much later output must be for a gap to count as lost. The broker takes chunks from a dead scheduler in 20 s."""
_CUT = b" [the rest of this line is not shown: it is too long]"


class _Chunk(NamedTuple):
    # Not a dataclass: a large log has thousands.
    seq: int
    line_ends: int
    size: int


@dataclass(frozen=True, slots=True)
class _Part:
    """The output of one attempt: lines ``first`` to ``first + lines - 1`` of the log."""

    token: str
    chunks: tuple[_Chunk, ...]
    first: int
    lines: int


class LogReads(Reader):
    """Reads of logs. A log is the output of one node to one stream, in the node's latest run attempt with output.

    It has the output of all attempts of the node in that run attempt, in order. A last line without line end counts.
    ``of``, a (run attempt, number), makes it the output of that one attempt. A read returns fewer lines than asked for
    when they have more than ``most_bytes``. Only a single line may be longer: its beginning is returned.
    """

    def log_lines(
        self,
        run_key: str,
        node: int,
        stream: str,
        *,
        offset: int = 0,
        limit: int,
        of: tuple[int, int] | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> LogWindow:
        """Return up to ``limit`` lines, beginning with line ``offset`` (the first line is 0)."""
        with self._snapshot() as connection:
            parts = _parts(connection, run_key, node, stream, of)
            return _window(connection, parts, stream, offset, limit, most_bytes=most_bytes)

    def log_tail(
        self,
        run_key: str,
        node: int,
        stream: str,
        *,
        limit: int,
        of: tuple[int, int] | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> LogWindow:
        """Return the last ``limit`` lines."""
        with self._snapshot() as connection:
            parts = _parts(connection, run_key, node, stream, of)
            first = max(_total(parts) - limit, _first_within(parts, most_bytes))
            return _window(connection, parts, stream, first, limit, most_bytes=most_bytes)

    def log_pieces(
        self, run_key: str, node: int, stream: str, *, of: tuple[int, int] | None = None, most_bytes: int = _PIECE_BYTES
    ) -> Iterator[bytes]:
        """Yield the whole log as it is now, each line with its line end, in pieces.

        A piece has at most ``most_bytes``, or is one chunk. No transaction is open between two of them: if its run is
        deleted meanwhile, the log ends early.
        """
        with self._snapshot() as connection:
            parts = _parts(connection, run_key, node, stream, of)
        for part in parts:
            for first, last in _ranges(part.chunks, most_bytes):
                with self._snapshot() as connection:
                    piece = _bytes(connection, part, stream, first, last)
                yield piece
            if part.lines > sum(chunk.line_ends for chunk in part.chunks):
                yield b"\n"

    def log_search(
        self,
        run_key: str,
        node: int,
        stream: str,
        text: bytes,
        *,
        offset: int = 0,
        limit: int,
        most: int,
        of: tuple[int, int] | None = None,
        most_bytes: int = _MOST_BYTES,
    ) -> LogHits:
        """Return up to ``limit`` lines from line ``offset`` on that contain the text in any case of ASCII letters.

        One call searches at most ``most`` lines. It ends early once it has read ``most_bytes``, and searches no more
        than these of a single line.
        """
        needle = text.lower()
        hits: list[int] = []
        with self._snapshot() as connection:
            parts = _parts(connection, run_key, node, stream, of)
            total = _total(parts)
            at, end, left = min(offset, total), min(offset + most, total), most_bytes
            while at < end and left > 0:
                # Not only what is left: a line that is not too long would be cut, and its rest never searched.
                count = min(_SEARCHED_AT_ONCE, end - at)
                lines = _window(connection, parts, stream, at, count, most_bytes=most_bytes).lines
                whole = b"\n".join(lines).lower()
                left -= len(whole)
                if needle in whole:  # rare, and much faster to know than which lines have it
                    for number, line in enumerate(whole.split(b"\n"), at):
                        if needle in line:
                            hits.append(number)
                            if len(hits) == limit:
                                return LogHits(tuple(hits), number + 1, total)
                at += len(lines)
            return LogHits(tuple(hits), at, total)

    def missing_bytes(self, run_key: str) -> int:
        """Return how many bytes of output the ended attempts of a run have reported that are not stored yet."""
        a = t.attempts.c
        reported = select(func.sum(func.coalesce(a.stdout_bytes, 0) + func.coalesce(a.stderr_bytes, 0)))
        stored = select(func.sum(func.length(_c.data) + _c.dropped)).where(_c.run_key == run_key)
        with self._snapshot() as connection:
            expected = connection.execute(reported.where(a.run_key == run_key)).scalar() or 0
            return max(0, int(expected) - int(connection.execute(stored).scalar() or 0))


def _ranges(chunks: Sequence[_Chunk], most_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the numbers of the first and last chunks of pieces that have at most ``most_bytes``, or one chunk."""
    first, size = 0, 0
    for at, chunk in enumerate(chunks):
        if at > first and size + chunk.size > most_bytes:
            yield chunks[first].seq, chunks[at - 1].seq
            first, size = at, 0
        size += chunk.size
    yield chunks[first].seq, chunks[-1].seq


def _bytes(connection: Connection, part: _Part, stream: str, first: int, last: int) -> bytes:
    wanted: ColumnElement[bool] = and_(_c.token == part.token, _c.stream == stream)
    query = select(_c.data).where(wanted, _c.seq.between(first, last)).order_by(_c.seq)
    return b"".join(bytes(piece) for piece in connection.execute(query).scalars())


def _total(parts: Sequence[_Part]) -> int:
    return parts[-1].first + parts[-1].lines if parts else 0


def _parts(connection: Connection, run_key: str, node: int, stream: str, of: tuple[int, int] | None) -> list[_Part]:
    of_node = and_(_c.run_key == run_key, _c.node == node)
    if of is None:
        chosen = _c.run_attempt == select(func.max(_c.run_attempt)).where(of_node).scalar_subquery()
    else:
        chosen = and_(_c.run_attempt == of[0], _c.number == of[1])
    heads = connection.execute(
        select(_c.token, _c.number, _c.seq, _c.lines, func.length(_c.data).label("size"))
        .where(of_node, chosen, _c.stream == stream)
        .order_by(_c.number, _c.seq)
    )
    chunks: dict[tuple[int, str], list[_Chunk]] = {}
    for token, number, *chunk in heads:
        chunks.setdefault((number, token), []).append(_Chunk(*chunk))
    chunks = _without_gaps(connection, stream, chunks)
    unended = _without_last_line_end(connection, stream, {token: found[-1].seq for (_, token), found in chunks.items()})
    parts: list[_Part] = []
    first = 0
    for _, token in sorted(chunks):
        found = chunks[_, token]
        lines = sum(chunk.line_ends for chunk in found) + (token in unended)
        parts.append(_Part(token, tuple(found), first, lines))
        first += lines
    return parts


def _without_gaps(
    connection: Connection, stream: str, chunks: Mapping[tuple[int, str], list[_Chunk]]
) -> dict[tuple[int, str], list[_Chunk]]:
    """Return the chunks that have bytes, of an attempt that has not ended only those before its first gap."""
    shown: dict[tuple[int, str], list[_Chunk]] = {}
    for key, found in chunks.items():
        until = _first_gap(connection, key[1], stream) if found[-1].seq >= len(found) else len(found)
        if kept := [chunk for chunk in found[:until] if chunk.size]:
            shown[key] = kept
    return shown


def _first_gap(connection: Connection, token: str, stream: str) -> int | None:
    """Return how many chunks of an attempt come before its first gap; ``None`` if it has ended, or no gap counts."""
    if connection.execute(select(t.attempts.c.token).where(t.attempts.c.token == token)).first():
        return None  # only attempts that have ended have a row
    query = select(_c.seq, _c.at).where(_c.token == token, _c.stream == stream).order_by(_c.seq)
    found = connection.execute(query).all()
    expected = 0
    for place, (seq, at) in enumerate(found):
        if seq != expected and found[-1].at - at < _GAP_LASTS:
            return place
        expected = seq + 1
    return None


def _without_last_line_end(connection: Connection, stream: str, last: dict[str, int]) -> set[str]:
    """Return the tokens of the attempts whose last chunk does not end with a line end: their last line counts too."""
    places, unended = list(last.items()), set[str]()
    query = select(_c.token, func.substr(_c.data, func.length(_c.data), 1).label("end")).where(_c.stream == stream)
    # A repeated step may have any number of attempts, but a statement has a limit.
    for start in range(0, len(places), _PLACES_AT_ONCE):
        some = tuple_(_c.token, _c.seq).in_(places[start : start + _PLACES_AT_ONCE])
        unended |= {row.token for row in connection.execute(query.where(some)) if bytes(row.end) != b"\n"}
    return unended


def _first_within(parts: Sequence[_Part], most_bytes: int) -> int:
    """Return the first line of the longest end of the log, in whole chunks, that has at most ``most_bytes``.

    It is the last line if not even that fits.
    """
    total = _total(parts)
    for part in reversed(parts):
        line = part.first + sum(chunk.line_ends for chunk in part.chunks)
        for chunk in reversed(part.chunks):
            most_bytes -= chunk.size
            if most_bytes < 0:
                return min(line + 1, total - 1)
            line -= chunk.line_ends
    return 0


def _window(
    connection: Connection, parts: Sequence[_Part], stream: str, offset: int, limit: int, *, most_bytes: int
) -> LogWindow:
    end = min(offset + limit, _total(parts))
    lines: list[bytes] = []
    for part in parts:
        begin_in, end_in = max(offset - part.first, 0), min(end - part.first, part.lines)
        if begin_in < end_in and (most_bytes > 0 or not lines):
            found = _lines_of(connection, part, stream, begin_in, end_in, most_bytes=most_bytes, alone=not lines)
            lines += found
            most_bytes = most_bytes - sum(map(len, found)) if len(found) == end_in - begin_in else 0
    return LogWindow(tuple(lines), offset, _total(parts))


def _lines_of(
    connection: Connection, part: _Part, stream: str, begin: int, end: int, *, most_bytes: int, alone: bool
) -> list[bytes]:
    """Return lines ``begin`` to ``end - 1`` of one attempt's output; fewer if these have more than ``most_bytes``.

    If not even the first of them fits, it is cut, or left out unless the window has it ``alone``.
    """
    # Line n begins after the n-th line end: in the chunk with that line end, or in the next one.
    seen = skipped = size = 0
    first_seq = last_seq = part.chunks[-1].seq
    found = cut = False
    for chunk in part.chunks:
        before, seen = seen, seen + chunk.line_ends
        if not found and seen >= begin:
            found, first_seq, skipped = True, chunk.seq, begin - before
        size += chunk.size if found else 0
        if seen >= end or size > most_bytes:
            last_seq, cut = chunk.seq, seen < end and chunk is not part.chunks[-1]
            break
    data = _bytes(connection, part, stream, first_seq, last_seq)
    lines = data.split(b"\n", skipped + end - begin)[skipped : skipped + end - begin]
    if cut:
        *lines, begun = lines
        return [begun + _CUT] if alone and not lines else lines
    return lines
