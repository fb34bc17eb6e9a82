"""Reads a growing log: each line once, even if reading fails in between."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LogLine", "LogTail"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a step wrote. ``number`` counts from 1 within the step and stream."""

    step: str
    stream: str
    number: int
    text: str


@dataclass(slots=True)
class LogTail:
    """Reads one stream of one step from a line on, each line once.

    The last line may still be growing. It is returned when it is complete, when it has not grown since the last call,
    or with ``ended``; if it grows later, its rest is returned as a line of its own.
    """

    page: Callable[[int], Mapping[str, Any]]
    """Returns lines from a line number on, as the API does: ``content``, ``lineCount`` and ``hasMore``."""
    step: str
    stream: str
    next_line: int = 1
    _last: str | None = field(default=None, init=False)
    """The last line as it was when it was read last, if it may still grow; it is ``next_line``."""
    _shown: str | None = field(default=None, init=False)
    """The part of this line that has been returned."""

    def read(self, *, ended: bool) -> Iterator[LogLine]:
        """Yield the lines since the last call. ``ended``: the step writes no more.

        If ``page`` raises an error, a later call misses nothing.
        """
        more = True
        while more:
            page = self.page(self.next_line)
            lines = page["content"].split("\n") if page["lineCount"] else []
            more = page["hasMore"]
            growing = lines.pop() if lines and not ended and not more else None
            for text in lines:
                yield from self._rest(text)
                self.next_line, self._shown = self.next_line + 1, None
            if growing is not None and growing == self._last:
                yield from self._rest(growing)
                self._shown = growing
            self._last = growing

    def _rest(self, text: str) -> Iterator[LogLine]:
        shown = self._shown
        if shown is None or not text.startswith(shown):
            yield LogLine(self.step, self.stream, self.next_line, text)
        elif text != shown:
            yield LogLine(self.step, self.stream, self.next_line, text[len(shown) :])
