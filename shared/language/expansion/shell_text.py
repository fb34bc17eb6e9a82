"""Insert values into text that a shell reads, so that a value from outside never runs as code.

Values that the DAG's author wrote (``Scope.trusts``) are inserted as text and may run, as in Dagu. For other values:

- A value that a shell could run in its context is *named*: the text contains a variable, ``${DAG_VALUE_1}``, and the
  shell gets the value in that variable, because a shell does not parse the value of a variable. So safety depends only
  on the short patterns of harmless values below, not on a list of all ways to break out of a context.
- In single quotes and in quoted here-documents no shell expands variables. There the value is inserted as it is, with
  single quotes escaped if it is between single quotes. A value that would end its here-document is named.
- If the text in quotes goes to another shell (``bash -c '…'``, ``eval``, ``ssh``), a value that this shell could run is
  named too. If the other shell does not have the variable, the value is lost, but does not run.
- In a command within a here-document, the context is unknown.
- In arithmetic a shell evaluates even the value of a variable. Only numbers and operators are inserted there. For any
  other value, the text contains an expansion that fails with a message.
- In an unknown context, every value is named except plain words.

In a known context, a value that is too long for a variable is quoted. Some arithmetic cannot be detected: see
``shell_arithmetic`` and docs/workflow-language.md. The tests run hostile values through real shells.
"""

import re
import shlex
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared.language.expansion.references import Arithmetic, Backtick, Piece, Reference, parse
from shared.language.expansion.scope import Scope, known_value
from shared.language.expansion.shell_arithmetic import Calculations, only_numbers
from shared.language.expansion.shell_state import (
    DOUBLE,
    HERE_DOCUMENT,
    LITERAL_DOCUMENT,
    SINGLE,
    UNKNOWN,
    UNQUOTED,
    HereDocument,
    ShellScanner,
)
from shared.language.expansion.size import check_size

__all__ = ["QUOTED_ESCAPES", "expand_for_shell", "shell_command", "with_assignments"]

QUOTED_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})
"""Escapes for a value between double quotes that no shell reads."""
_ON_ONE_LINE = str.maketrans({"\n": "\\n", "\t": "\\t"})
_SHELL_ESCAPES = QUOTED_ESCAPES | str.maketrans({"$": "\\$", "`": "\\`"})
_IN_DOUBLE = str.maketrans({char: f"\\{char}" for char in '"$`\\'})
_RUNS = re.compile(r"`|\$\(|\$\{(?!\w+\})")
_SIMPLE = r"\$(?:\w++|\{\w+\})"
"""Possessive: with a second way to match a name, a value of many names would take a time that doubles with each."""
_ONE_WORD = re.compile(rf"(?:[^\s'\"\\`$;&|<>()#]|{_SIMPLE})*")
_WORDS = re.compile(rf"(?:[^'\"\\`$;&|<>()#\n]|{_SIMPLE}|'[^'\n]*'|\"[^\"\\`$\n]*\")*")
_INTERPRETER_LINES = re.compile(r"(?:#!.*\n)*")
_BETWEEN_WORDS = re.compile(r"[\s;&|()]")
_MAY_ASSIGN = frozenset("=$`'\"\\")
_FAR_BACK = 200
_FAR_ON = 1000
_MAY_CALCULATE = re.compile(r"\(\(|\[\[\s|\w\[|\blet\s|\s-\w*i")
_IN_QUOTES = re.compile(rf"(?:[^\"\\`$\n]|{_SIMPLE})*")
_IN_DOCUMENT = re.compile(rf"(?:[^\\`$\n]|{_SIMPLE})*")
_IN_DOCUMENT_ESCAPES = str.maketrans({char: f"\\{char}" for char in "$`\\"})
_PLAIN = re.compile(rf"(?:[^'\"\\`$;&|<>()#\n]|{_SIMPLE})*")
_NEUTRAL = re.compile(r"[^'\"\\`$<()#\r\n]*")
_INNER_SHELL = re.compile(
    r"(?<![\w.])(?:(?:ba|da|z|k|mk|ya|a|fi|t?c)?sh|eval|trap|su|sudo|runuser|parallel|watch|flock|script|at|batch|source"
    r"|expect|SHELL)(?![\w-])|[\s;&|]\.\s"
)
"""Commands that run text in a shell which inherits the variables of this shell."""
_OTHER_READER = re.compile(r"(?<![\w.])(?:s|r|pd|mo|nu|pw)sh(?![\w-])|\$\{?\w+\}?(?:\s+-\w+)*\s+-\w*c\s")
"""Commands that may run text in a shell without the variables of this shell."""
_MOST_NAMED = 100 * 1024
"""Bytes. Linux gives a process no variable longer than 128 KiB."""


@dataclass(slots=True)
class _Fragment:
    """A part of the result: ``text`` replaces ``source``, which begins at position ``at`` of the author's text."""

    at: int
    source: str
    text: str
    value: str | None = None
    """The value in ``text``. It is named if it would end its here-document."""


@lru_cache(maxsize=1)
def _reads_code(line: str) -> bool:
    """Whether a shell reads the here-document of ``line``. The values of one document ask one after the other."""
    return _INNER_SHELL.search(line) is not None


def expand_for_shell(text: str, scope: Scope) -> tuple[str, dict[str, str]]:
    """Return ``text`` with known references replaced, and the additional variables that its shell must get."""
    if "$" not in text and "`" not in text:
        check_size(len(text))
        return text, {}
    return _Writer(text, scope).write()


def shell_command(text: str, scope: Scope) -> str:
    """Return a command with known references replaced. It begins with assignments of the variables that it needs."""
    return with_assignments(*expand_for_shell(text, scope))


def with_assignments(text: str, variables: Mapping[str, str]) -> str:
    """Return a text for a shell that first assigns these variables, after the lines that say which shell reads it."""
    assigned = "".join(f"{name}={shlex.quote(value)}; " for name, value in variables.items())
    start = _INTERPRETER_LINES.match(text).end()  # type: ignore[union-attr]
    return text[:start] + assigned + text[start:]


def _flat(text: str) -> list[str | Reference]:
    """Return ``text`` cut into literals and references, also inside of commands and arithmetic."""
    found: list[str | Reference] = []
    for piece in parse(text):
        if isinstance(piece, (str, Reference)):
            found.append(piece)
        else:
            before, inner, after = _opened(piece)
            found += [before, *_flat(inner), after]
    return found


def _opened(piece: Piece) -> tuple[str, str, str]:
    if isinstance(piece, Arithmetic):
        return "$((", piece.expression, "))"
    if isinstance(piece, Backtick):
        return "`", piece.command, "`"
    return "$(", piece.command, ")"  # type: ignore[union-attr]


class _Writer:
    """Writes one text with its references replaced."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._scanner = ShellScanner(text)
        self._names: dict[str, str] = {}
        self._of_code = self._of_document = Calculations(text)
        first, _, rest = text.partition("\n")
        code = rest if first.startswith("#!") else text
        self._inner_shell = _INNER_SHELL.search(code) is not None
        self._may_calculate = _MAY_CALCULATE.search(code) is not None
        self._read_again = self._inner_shell or _OTHER_READER.search(code) is not None

    def write(self) -> tuple[str, dict[str, str]]:
        parts: list[_Fragment] = []
        chars = 0
        at = 0
        for piece in _flat(self._text):
            source = piece if isinstance(piece, str) else piece.source
            known = None if isinstance(piece, str) else known_value(piece, self._scope)
            if known is None:
                parts.append(_Fragment(at, source, source))
            else:
                context = self._scanner.context(at)
                parts.append(self._part(at, *known, UNKNOWN if self._text[at - 1 : at] == "$" else context))
                self._scanner.skip(at + len(source))
            at += len(source)
            chars += len(parts[-1].text)
            check_size(chars)
        places = [part.at for part in parts]
        for document in self._scanner.documents:
            first = max(bisect_right(places, document.start) - 1, 0)
            self._protect_delimiter(document, parts[first : bisect_left(places, document.end)])
        return "".join(part.text for part in parts), {name: value for value, name in self._names.items()}

    def _part(self, at: int, piece: Reference, value: str, context: str) -> _Fragment:
        part = _Fragment(at, piece.source, "")
        if self._scope.trusts(piece):
            part.text = self._between_quotes(value, context) if piece.quoted else value
            closed = context == UNQUOTED and (piece.quoted or _WORDS.fullmatch(value))
            if not closed and not _NEUTRAL.fullmatch(value):
                self._scanner.give_up()
        elif self._in_arithmetic(at, piece, context) and not only_numbers(value):
            refused = f"{self._named('')[:-1]}:?{piece.name} is not a number, and a shell would evaluate it}}"
            part.text = f'"{refused}"' if piece.quoted else refused
        elif context == HERE_DOCUMENT and self._scanner.documents[-1].in_command(at):
            part = self._part(at, piece, value, UNKNOWN)
            part.value = None if piece.quoted else value
        elif piece.quoted and (context == DOUBLE or (context == UNKNOWN and not _ONE_WORD.fullmatch(value))):
            # The author's quotes end and begin again around the reference, or may do so: the value is unquoted.
            part.text = f'"{self._unquoted(value.translate(_ON_ONE_LINE), one=True)}"'
        elif piece.quoted:
            text = self._between_quotes(value, context)
            part.text = text.replace("'", "'\\''") if context == SINGLE else text
        elif context in (HERE_DOCUMENT, LITERAL_DOCUMENT):
            part.text, part.value = self._in_document(value, context), value
        elif context == SINGLE:
            acts = self._inner_shell and not _PLAIN.fullmatch(value)
            part.text = self._named(value) if acts or self._is_run(value) else value.replace("'", "'\\''")
        elif context == DOUBLE:
            part.text = self._unless(_IN_QUOTES, value, value.translate(_IN_DOUBLE))
        else:
            before = _BETWEEN_WORDS.split(self._text[max(at - _FAR_BACK, 0) : at])[-1]
            one = len(before) == _FAR_BACK or not _MAY_ASSIGN.isdisjoint(before)
            part.text = (
                self._unquoted(value, one=one) if context == UNQUOTED else self._in_unknown_context(value, one=one)
            )
        return part

    def _in_arithmetic(self, at: int, piece: Reference, context: str) -> bool:
        if not self._may_calculate or (context in (SINGLE, LITERAL_DOCUMENT) and not self._read_again):
            return False
        calculations = self._of_code
        if context in (HERE_DOCUMENT, LITERAL_DOCUMENT):
            start = self._scanner.documents[-1].start
            if self._of_document.start != start:
                self._of_document = Calculations(self._text, start)
            calculations = self._of_document
        after = at + len(piece.source)
        return calculations.evaluates(at, self._text[after : after + _FAR_ON], bare=context in (UNQUOTED, DOUBLE))

    def _between_quotes(self, value: str, context: str) -> str:
        """Return what ``"${NAME}"`` becomes."""
        only_ours = context in (SINGLE, LITERAL_DOCUMENT) and not self._read_again
        return f'"{value.translate(QUOTED_ESCAPES if only_ours else _SHELL_ESCAPES)}"'

    def _is_run(self, value: str) -> bool:
        return self._read_again and _RUNS.search(value) is not None

    def _unquoted(self, value: str, *, one: bool) -> str:
        """Return the text for an unquoted value.

        ``one``: the text must be one word, as in ``X=${P}``, where a second word would be a command.
        """
        quoted = " ".join(shlex.quote(word) for word in value.split())
        return self._unless(_ONE_WORD if one else _WORDS, value, quoted)

    def _in_unknown_context(self, value: str, *, one: bool) -> str:
        return value if (_ONE_WORD if one else _PLAIN).fullmatch(value) else self._named(value)

    def _in_document(self, value: str, context: str) -> str:
        if context == LITERAL_DOCUMENT:
            acts = _reads_code(self._scanner.documents[-1].reader) and not _PLAIN.fullmatch(value)
            return self._named(value) if acts or self._is_run(value) else value
        return self._unless(_IN_DOCUMENT, value, value.translate(_IN_DOCUMENT_ESCAPES))

    def _unless(self, harmless: re.Pattern[str], value: str, quoted: str) -> str:
        """Return a harmless value as it is. Name any other value, or return ``quoted`` if it is too long for that."""
        if harmless.fullmatch(value):
            return value
        long = len(value) > _MOST_NAMED // 4 and len(value.encode(errors="surrogateescape")) > _MOST_NAMED
        return quoted if long else self._named(value)

    def _named(self, value: str) -> str:
        return f"${{{self._names.setdefault(value, f'DAG_VALUE_{len(self._names) + 1}')}}}"

    def _protect_delimiter(self, document: HereDocument, parts: list[_Fragment]) -> None:
        """Name the values of a here-document if one of its lines would end it too early. ``parts``: those in it."""
        text = "".join(
            part.text
            if part.text != part.source
            else part.source[max(document.start - part.at, 0) : document.end - part.at]
            for part in parts
        )
        lines = (line.lstrip("\t") if document.tabs else line for line in text.split("\n"))
        if document.delimiter in lines:
            for part in parts:
                if part.value is not None:
                    part.text = self._named(part.value)
