"""What a step says about itself in its output: lines that begin with ``::``.

    ::progress 40/100 text      how far it is
    ::notice text               something people should see without reading the log
    ::warning text              the same, but not good
    ::output NAME=value         a variable for the steps that depend on this one

They stay in the log as they are; any other line, and one that is not quite such a line, means nothing.
Only stdout is looked at, after secrets were masked.
"""

import re
from typing import Literal

from shared.contracts.events import Progress, Remark

__all__ = ["Marks"]

_START = b"::"
_NEXT = b"\n::"
_LONGEST = 8_192
_MOST_REMARKS = 20
_LONGEST_TEXT = 500
_PROGRESS = re.compile(r"::progress (\d{1,15}(?:\.\d{1,6})?)/(\d{1,15}(?:\.\d{1,6})?)(?: (.*))?\Z")
_REMARK = re.compile(r"::(notice|warning) (.+)\Z")
_OUTPUT = re.compile(r"::output ([A-Za-z_][A-Za-z0-9_]{0,99})=(.*)\Z", re.DOTALL)


class Marks:
    """Reads one stream. The last progress and the last remarks count, and the last value of an output.

    ``most_output`` bounds the bytes of all outputs together.
    """

    def __init__(self, most_output: int) -> None:
        self.progress: Progress | None = None
        self.remarks: tuple[Remark, ...] = ()
        self.outputs: dict[str, str] = {}
        self.news = 0
        """Grows with every line that people may see."""
        self._left = most_output
        self._held: bytes | None = b""
        """The present line as far as it may be one of these; ``None``: it is none of them."""

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        at_start, data = self._held is not None, (self._held or b"") + data
        if at_start and _START.startswith(data):
            self._held = data
            return
        at = 0 if at_start and data.startswith(_START) else _next(data, 0)
        while at >= 0:
            end = data.find(b"\n", at)
            if end < 0:
                self._held = data[at:] if len(data) - at <= _LONGEST else None
                return
            self._take(data[at:end])
            at = _next(data, end)
        self._held = b"" if data.endswith(b"\n") else b":" if data.endswith(b"\n:") else None

    def close(self) -> None:
        """Nothing more comes: a last line needs no end."""
        if self._held:
            self._take(self._held)
        self._held = None

    def _take(self, line: bytes) -> None:
        if len(line) > _LONGEST:
            return
        text = line.decode(errors="replace").rstrip("\r").replace("\0", "")
        if found := _PROGRESS.match(text):
            current, total, said = float(found[1]), float(found[2]), found[3] or ""
            if 0 <= current <= total and total > 0:
                self.progress = Progress(current=current, total=total, text=said[:_LONGEST_TEXT])
                self.news += 1
        elif found := _REMARK.match(text):
            self._remark("warning" if found[1] == "warning" else "notice", found[2])
        elif found := _OUTPUT.match(text):
            size = len(found[2].encode())
            if size > self._left:
                self._remark("warning", f"output {found[1]} is left out: all outputs together are too large")
            else:
                self._left -= size
                self.outputs[found[1]] = found[2].strip()

    def _remark(self, level: Literal["notice", "warning"], text: str) -> None:
        remark = Remark(level=level, text=text[:_LONGEST_TEXT])
        self.remarks = (*self.remarks, remark)[-_MOST_REMARKS:]
        self.news += 1


def _next(data: bytes, after: int) -> int:
    """Return where the next line that may be one of these begins, -1 when there is none."""
    found = data.find(_NEXT, after)
    return found if found < 0 else found + 1
