"""Annotations: lines of a step's output that begin with ``::``.

    ::progress 40/100 text      the step's progress
    ::notice text               a remark that the API and the web pages show at the step
    ::warning text              a remark about a problem
    ::output NAME=value         a variable for the steps that depend on this step

Annotations stay in the log unchanged; all other lines are ignored. Only stdout is read, with secrets masked.
"""

import re
from typing import Any, Literal

import re2

from shared.contracts.events import Progress, Remark

__all__ = ["Annotations"]

_START = b"::"
_NEXT: Any = re2.compile(rb"\n::")
"""RE2 finds the few such lines of a long log in a tenth of the time that ``bytes.find`` takes."""
_MAX_LINE_BYTES = 8_192
_MAX_REMARKS = 20
_MAX_TEXT = 500
_PROGRESS = re.compile(r"::progress (\d{1,15}(?:\.\d{1,6})?)/(\d{1,15}(?:\.\d{1,6})?)(?: (.*))?\Z")
_REMARK = re.compile(r"::(notice|warning) (.+)\Z")
_OUTPUT = re.compile(r"::output ([A-Za-z_][A-Za-z0-9_]{0,99})=(.*)\Z", re.DOTALL)


class Annotations:
    """The annotations of one stream: the last progress, the last remarks, the last value of each output.

    ``max_output_bytes`` limits the total size of all outputs, with their names: values may be empty.
    """

    def __init__(self, max_output_bytes: int) -> None:
        self.remarks: tuple[Remark, ...] = ()
        self.outputs: dict[str, str] = {}
        self.version = 0
        """Incremented by each progress and each remark."""
        self._progress: tuple[float, float, str] | None = None
        self._left = max_output_bytes
        self._held: bytes | None = b""
        """The start of an unfinished line that may be an annotation; ``None`` if the line cannot be one."""

    @property
    def progress(self) -> Progress | None:
        """The last progress. Made when it is reported, since a step may print one for each line of its input."""
        if self._progress is None:
            return None
        current, total, text = self._progress
        return Progress(current=current, total=total, text=text)

    def feed(self, data: bytes) -> None:
        """Read the next bytes of the stream; they may end in the middle of a line."""
        at_start, data = self._held is not None, (self._held or b"") + data
        if at_start and _START.startswith(data):
            self._held = data
            return
        at = 0 if at_start and data.startswith(_START) else _next(data, 0)
        while at >= 0:
            end = data.find(b"\n", at)
            if end < 0:
                self._held = data[at:] if len(data) - at <= _MAX_LINE_BYTES else None
                return
            self._take(data[at:end])
            at = _next(data, end)
        self._held = b"" if data.endswith(b"\n") else b":" if data.endswith(b"\n:") else None

    def close(self) -> None:
        """Read an unfinished last line: the last line needs no newline."""
        if self._held:
            self._take(self._held)
        self._held = None

    def _take(self, line: bytes) -> None:
        if len(line) > _MAX_LINE_BYTES:
            return
        text = line.decode(errors="replace").rstrip("\r").replace("\0", "")
        if found := _PROGRESS.match(text):
            current, total, remark = float(found[1]), float(found[2]), found[3] or ""
            if 0 <= current <= total and total > 0:
                self._progress = (current, total, remark[:_MAX_TEXT])
                self.version += 1
        elif found := _REMARK.match(text):
            self._remark("warning" if found[1] == "warning" else "notice", found[2])
        elif found := _OUTPUT.match(text):
            name, value = found[1], found[2].strip()
            # The last value of each name counts, and what the one before took is free again.
            before = self.outputs.get(name)
            left = self._left + _size(name, before) - _size(name, value)
            if left < 0:
                self._remark(
                    "warning",
                    f"::output {name} is ignored: all ::output names and values together exceed maxOutputSize",
                )
            else:
                self._left = left
                self.outputs[name] = value

    def _remark(self, level: Literal["notice", "warning"], text: str) -> None:
        remark = Remark(level=level, text=text[:_MAX_TEXT])
        self.remarks = (*self.remarks, remark)[-_MAX_REMARKS:]
        self.version += 1


def _size(name: str, value: str | None) -> int:
    return 0 if value is None else len(name) + len(value.encode())


def _next(data: bytes, after: int) -> int:
    """Return the position of the next line that begins with ``::``, or -1 if there is none."""
    if data.startswith(b"\n::", after):
        return after + 1  # to call RE2 takes longer than the rest for such a line
    found = _NEXT.search(data, after)
    return -1 if found is None else found.start() + 1
