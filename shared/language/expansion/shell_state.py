"""Find the quoting context of a position in a shell script: open quotes, a here-document, or unknown.

Guarantee: a known context is returned only if all POSIX-like shells agree on it. Some constructs are read differently
by different shells, or need a shell's whole grammar: quotes in ``${…}`` and in back quotes, ``case`` in parentheses,
carriage returns. After them the context is ``UNKNOWN`` to the end of the script, and the caller writes values in a form
that is safe in every context. So text that the scanner cannot follow costs convenience, not safety. Support a further
construct only with a test on real shells.
"""

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "DOUBLE",
    "HERE_DOCUMENT",
    "LITERAL_DOCUMENT",
    "SINGLE",
    "UNKNOWN",
    "UNQUOTED",
    "HereDocument",
    "ShellScanner",
]

UNQUOTED, DOUBLE, SINGLE = "", '"', "'"
HERE_DOCUMENT, LITERAL_DOCUMENT, UNKNOWN = "here", "literal", "unsure"
"""Contexts: in a here-document that the shell expands, in a here-document that it does not expand, and unknown."""

_PARENTHESIS = "("
_HERE_WORD = re.compile(
    r"<<(-?)[ \t]*(?:'([\w.!:@%+-]+)'|\"([\w.:@%+-]+)\"|\\([\w.]+)|([A-Za-z_][\w.]*))(?=[ \t\n;&|()<>]|\Z)", re.ASCII
)
_BRACES = re.compile(r"\$\{(?:[^{}'\"\\`$]|\$\{[^{}'\"\\`$]*\}|\$\w++)*\}")
_ARITHMETIC = re.compile(r"\$?\(\((?:[^'\"\\`#\n()<]|<(?!<)|\([^'\"\\`#\n()<]*\))*\)\)")
_BACK_QUOTES = re.compile(r"`[^'\"\\`#<]*`")
_ANSI = re.compile(r"\$'[^'\\]*'")
_COMMAND_BEGINS = re.compile(r"\\.|(?P<command>`|\$\()", re.DOTALL)
_COMMAND = re.compile(
    rf"{_ARITHMETIC.pattern}|\$\((?:(?!case\b)[^'\"\\`$#\n(){{}}<]|\$\w++|\$\{{[\w.]++\}})*\)|{_BACK_QUOTES.pattern}"
)
"""A command in a here-document, of which it is certain where it ends."""
_ORDINARY = re.compile(r"[^'\"\\`$<#()\nc]+")
_CASE = re.compile(r"case\b")
_BEFORE_WORD = frozenset(" \t\n;&|()<>")


@dataclass(frozen=True, slots=True)
class HereDocument:
    """A here-document. Its text begins at ``start``, and the line with its delimiter begins at ``end``."""

    start: int
    end: int
    delimiter: str
    tabs: bool
    """Whether leading tabs are ignored (``<<-``)."""
    reader: str
    """The line with the command that reads the here-document."""
    commands: tuple[tuple[int, int], ...]
    """Where ``$(…)`` and back quotes in it begin and end; the last may end anywhere before."""

    def in_command(self, at: int) -> bool:
        """Return whether ``at`` is, or may be, in a command that the shell runs to expand the here-document."""
        index = bisect_right(self.commands, (at, at)) - 1
        return index >= 0 and at < self.commands[index][1]


class ShellScanner:
    """Scans ``text`` from left to right. The caller must call ``skip`` for each reference that it replaces."""

    def __init__(self, text: str) -> None:
        self.documents: list[HereDocument] = []
        self._text = text
        self._at = 0
        self._skipped = -1
        self._stack: list[str] = [UNQUOTED]
        self._pending: deque[tuple[str, bool, bool, str]] = deque()
        self._line = ""
        self._line_end = -1
        self._region = (0, UNKNOWN)
        # To some shells a carriage return is part of a word.
        self._unknown = "\r" in text

    def context(self, at: int) -> str:
        """Return whether position ``at`` is unquoted, in quotes or in a here-document, as one of the constants above.

        The scanner cannot go back: each call needs an ``at`` that is not below that of the call before.
        """
        while self._at < at and not self._unknown:
            self._step(at)
        if self._unknown or self._pending:
            return UNKNOWN
        end, context = self._region
        if at < end:
            return context
        return UNQUOTED if self._stack[-1] == _PARENTHESIS else self._stack[-1]

    def skip(self, end: int) -> None:
        """Continue after a reference that ends at ``end``."""
        self._at = self._skipped = end

    def give_up(self) -> None:
        """Return ``UNKNOWN`` for all later positions, because an inserted value may open or close quotes."""
        self._unknown = True

    def _step(self, stop: int) -> None:
        end, _ = self._region
        if self._at < end:
            self._at = min(end, stop)
            return
        char, context = self._text[self._at], self._stack[-1]
        if context == SINGLE:
            self._in_single_quotes(stop)
        elif ordinary := _ORDINARY.match(self._text, self._at, stop):
            self._at = ordinary.end()
        elif char == "\\":
            # A backslash just before a reference escapes the first character of the inserted value.
            self._unknown = self._at + 2 > stop
            self._at += 2
        elif char == "$":
            self._dollar(context)
        elif char == "`":
            self._pass_over(_BACK_QUOTES)
        elif context == DOUBLE:
            self._unknown = char == "\n" and bool(self._pending)
            if char == '"':
                self._stack.pop()
            self._at += 1
        else:
            self._unquoted(char)

    def _in_single_quotes(self, stop: int) -> None:
        end = self._text.find("'", self._at, stop)
        self._unknown = bool(self._pending) and "\n" in self._text[self._at : end if end >= 0 else stop]
        if end >= 0:
            self._stack.pop()
        self._at = end + 1 if end >= 0 else stop

    def _dollar(self, context: str) -> None:
        follows = self._text[self._at + 1 : self._at + 3]
        if follows == "((":
            self._pass_over(_ARITHMETIC)
        elif follows[:1] == "(":
            self._stack.append(_PARENTHESIS)
            self._at += 2
        elif follows[:1] == "{":
            self._pass_over(_BRACES)
        elif follows[:1] == "'" and context != DOUBLE:
            self._pass_over(_ANSI)
        else:
            self._at += 1

    def _unquoted(self, char: str) -> None:
        text, at = self._text, self._at
        begins = at == 0 or text[at - 1] in _BEFORE_WORD
        self._at += 1
        if char in "'\"":
            self._stack.append(char)
        elif char == "#" and self._skipped == at:
            # Whether # begins a comment here depends on the value before it.
            self._unknown = True
        elif char == "#" and begins:
            end = text.find("\n", at)
            self._region = (len(text) if end < 0 else end, UNKNOWN)
        elif char == "<":
            self._redirection(at)
        elif char == "(" and text.startswith("((", at):
            self._at = at
            self._pass_over(_ARITHMETIC)
        elif char == "(":
            self._stack.append(_PARENTHESIS)
        elif char == ")" and self._stack[-1] == _PARENTHESIS:
            self._stack.pop()
            self._unknown = bool(self._pending)
        elif char == "\n" and self._pending:
            self._enter_document()
        elif char == "c" and begins and self._stack[-1] == _PARENTHESIS and _CASE.match(text, at):
            self._unknown = True

    def _redirection(self, at: int) -> None:
        if self._text.startswith("<<<", at):
            self._at = at + 3
        elif self._text.startswith("<<", at):
            found = _HERE_WORD.match(self._text, at)
            if found is None:
                self._unknown = True
                return
            quoted = found[5] is None
            delimiter = found[2] or found[3] or found[4] or found[5]
            if at > self._line_end:
                # Once for all here-documents of a line, of which there may be very many.
                end = self._text.find("\n", at)
                self._line_end = len(self._text) if end < 0 else end
                self._line = self._text[self._text.rfind("\n", 0, at) + 1 : self._line_end]
            self._pending.append((delimiter, quoted, bool(found[1]), self._line))
            self._at = found.end()

    def _enter_document(self) -> None:
        """Enter the here-document that begins at the current position. Its last line is scanned like other text."""
        delimiter, quoted, tabs, reader = self._pending.popleft()
        start = line = self._at
        while line < len(self._text):
            end = self._text.find("\n", line)
            end = len(self._text) if end < 0 else end
            found = self._text[line:end]
            if (found.lstrip("\t") if tabs else found) == delimiter:
                break
            line = end + 1
        end = min(line, len(self._text))
        commands = () if quoted else tuple(self._commands(start, end))
        self.documents.append(HereDocument(start, end, delimiter, tabs, reader, commands))
        self._region = (end, LITERAL_DOCUMENT if quoted else HERE_DOCUMENT)

    def _commands(self, at: int, end: int) -> Iterator[tuple[int, int]]:
        while (found := _COMMAND_BEGINS.search(self._text, at, end)) is not None:
            at = found.end()
            if found["command"]:
                command = _COMMAND.match(self._text, found.start(), end)
                at = command.end() if command else end
                yield found.start(), at

    def _pass_over(self, pattern: re.Pattern[str]) -> None:
        """Skip the construct that ``pattern`` matches, whose inside is ``UNKNOWN``. Give up if nothing matches."""
        found = pattern.match(self._text, self._at)
        if found is None:
            self._unknown = True
        else:
            self._region = (found.end(), UNKNOWN)
