"""Put values into text that a shell will read, so that they mean themselves and nothing else.

What the author wrote is text and stays so. Anything else that could act where it stands is put aside in a
variable, which the text then names: so it cannot act whatever this module has overlooked. Where no shell
expands a name (single quotes, quoted here-documents) the value is written as it is, unless the text hands what
is there to another shell (``bash -c '…'``, ``ssh``): that one reads the name. A sum takes numbers only: for anything
else stands an expansion that fails and says so, since a shell would evaluate even what a name holds.
"""

import re
import shlex
from dataclasses import dataclass

from shared.language.expansion.references import Arithmetic, Backtick, Piece, Reference, parse
from shared.language.expansion.scope import Scope, known_value
from shared.language.expansion.shell_arithmetic import in_sum, is_number
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

__all__ = ["QUOTED_ESCAPES", "expand_for_shell", "shell_command"]

QUOTED_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})
"""How a value is written between double quotes where no shell reads them."""
_ON_ONE_LINE = str.maketrans({"\n": "\\n", "\t": "\\t"})
_SHELL_ESCAPES = QUOTED_ESCAPES | str.maketrans({"$": "\\$", "`": "\\`"})
_IN_DOUBLE = str.maketrans({char: f"\\{char}" for char in '"$`\\'})
_RUNS = re.compile(r"`|\$\(|\$\{(?!\w+\})")
_SIMPLE = r"\$(?:\w+|\{\w+\})"
_ONE_WORD = re.compile(rf"(?:[^\s'\"\\`$;&|<>()#]|{_SIMPLE})*")
_WORDS = re.compile(rf"(?:[^'\"\\`$;&|<>()#\n]|{_SIMPLE}|'[^'\n]*'|\"[^\"\\`$\n]*\")*")
_BETWEEN_WORDS = re.compile(r"[\s;&|()]")
_MAY_ASSIGN = frozenset("=$`'\"\\")
_FAR_BACK = 200
_FAR_ON = 1000
_SUMS = re.compile(r"\(\(|\[\[\s|\w\[|\blet\s|\s-\w*i")
_IN_QUOTES = re.compile(rf"(?:[^\"\\`$\n]|{_SIMPLE})*")
_IN_DOCUMENT = re.compile(rf"(?:[^\\`$\n]|{_SIMPLE})*")
_IN_DOCUMENT_ESCAPES = str.maketrans({char: f"\\{char}" for char in "$`\\"})
_PLAIN = re.compile(rf"(?:[^'\"\\`$;&|<>()#\n]|{_SIMPLE})*")
_NEUTRAL = re.compile(r"[^'\"\\`$<()#\r\n]*")
_INNER_SHELL = re.compile(
    r"(?<![\w.])(?:(?:ba|da|z|k|mk|ya|a|fi|t?c)?sh|eval|trap|su|sudo|runuser|parallel|watch|flock|script|at|batch|source"
    r"|expect|SHELL)(?![\w-])|[\s;&|]\.\s"
)
"""What runs text in a shell that has this one's variables."""
_OTHER_READER = re.compile(r"(?<![\w.])(?:s|r|pd|mo|nu|pw)sh(?![\w-])|\$\{?\w+\}?(?:\s+-\w+)*\s+-\w*c\s")
"""What may run text, though a name may say nothing to it."""
_MOST_NAMED = 100 * 1024
"""Bytes; a process gets no longer variable than 128 KiB."""


@dataclass(slots=True)
class _Fragment:
    """What stands for ``source``, which begins at ``at`` of the author's text."""

    at: int
    source: str
    text: str
    value: str | None = None
    """One that is put aside if where it stands turns out to be no place for it."""


def expand_for_shell(text: str, scope: Scope) -> tuple[str, dict[str, str]]:
    """Replace known references in ``text`` and return it with the variables that its shell must have beside its own."""
    return _Writer(text, scope).written()


def shell_command(text: str, scope: Scope) -> str:
    """Replace known references in a command; what it names beside is set at its beginning."""
    written, aside = expand_for_shell(text, scope)
    return "".join(f"{name}={shlex.quote(value)}; " for name, value in aside.items()) + written


def _flat(text: str) -> list[str | Reference]:
    """Cut ``text`` as ``parse`` does, and what stands in its commands too."""
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
    """Writes one text anew."""

    def __init__(self, text: str, scope: Scope) -> None:
        self._text = text
        self._scope = scope
        self._reader = ShellScanner(text)
        self._names: dict[str, str] = {}
        first, _, rest = text.partition("\n")
        code = rest if first.startswith("#!") else text
        self._inner_shell = _INNER_SHELL.search(code) is not None
        self._sums = _SUMS.search(code) is not None
        self._read_again = self._inner_shell or _OTHER_READER.search(code) is not None

    def written(self) -> tuple[str, dict[str, str]]:
        parts: list[_Fragment] = []
        at = 0
        for piece in _flat(self._text):
            source = piece if isinstance(piece, str) else piece.source
            known = None if isinstance(piece, str) else known_value(piece, self._scope)
            if known is None:
                parts.append(_Fragment(at, source, source))
            else:
                place = self._reader.place(at)
                parts.append(self._part(at, *known, UNKNOWN if self._text[at - 1 : at] == "$" else place))
                self._reader.skip(at + len(source))
            at += len(source)
        for body in self._reader.bodies:
            self._keep_open(body, parts)
        return "".join(part.text for part in parts), {name: value for value, name in self._names.items()}

    def _part(self, at: int, piece: Reference, value: str, place: str) -> _Fragment:
        part = _Fragment(at, piece.source, "")
        if self._scope.trusts(piece):
            part.text = self._between_quotes(value, place) if piece.quoted else value
            closed = place == UNQUOTED and (piece.quoted or _WORDS.fullmatch(value))
            if not closed and not _NEUTRAL.fullmatch(value):
                self._reader.lose()
        elif self._in_sum(at, piece, place) and not is_number(value):
            refused = f"{self._named('')[:-1]}:?{piece.name} is not a number, and a shell would evaluate it}}"
            part.text = f'"{refused}"' if piece.quoted else refused
        elif piece.quoted and (place == DOUBLE or (place == UNKNOWN and not _ONE_WORD.fullmatch(value))):
            # Quotes of the author's that end here and begin again, or might: what is between them is bare.
            part.text = f'"{self._bare(value.translate(_ON_ONE_LINE), one=True)}"'
        elif piece.quoted:
            text = self._between_quotes(value, place)
            part.text = text.replace("'", "'\\''") if place == SINGLE else text
        elif place in (HERE_DOCUMENT, LITERAL_DOCUMENT):
            part.text, part.value = self._in_document(value, place), value
        elif place == SINGLE:
            acts = self._inner_shell and not _PLAIN.fullmatch(value)
            part.text = self._named(value) if acts or self._is_run(value) else value.replace("'", "'\\''")
        elif place == DOUBLE:
            part.text = self._unless(_IN_QUOTES, value, value.translate(_IN_DOUBLE))
        else:
            before = _BETWEEN_WORDS.split(self._text[max(at - _FAR_BACK, 0) : at])[-1]
            one = len(before) == _FAR_BACK or not _MAY_ASSIGN.isdisjoint(before)
            part.text = self._bare(value, one=one) if place == UNQUOTED else self._anywhere(value, one=one)
        return part

    def _in_sum(self, at: int, piece: Reference, place: str) -> bool:
        if not self._sums or (place in (SINGLE, LITERAL_DOCUMENT) and not self._read_again):
            return False
        start = self._reader.bodies[-1].start if place in (HERE_DOCUMENT, LITERAL_DOCUMENT) else 0
        after = at + len(piece.source)
        return in_sum(self._text[start:at], self._text[after : after + _FAR_ON], bare=place in (UNQUOTED, DOUBLE))

    def _between_quotes(self, value: str, place: str) -> str:
        """Return what ``"${NAME}"`` becomes."""
        only_ours = place in (SINGLE, LITERAL_DOCUMENT) and not self._read_again
        return f'"{value.translate(QUOTED_ESCAPES if only_ours else _SHELL_ESCAPES)}"'

    def _is_run(self, value: str) -> bool:
        return self._read_again and _RUNS.search(value) is not None

    def _bare(self, value: str, *, one: bool) -> str:
        """In ``X=${P}`` what follows the value's first blank would be the command: it stays ``one`` word."""
        quoted = " ".join(shlex.quote(word) for word in value.split())
        return self._unless(_ONE_WORD if one else _WORDS, value, quoted)

    def _anywhere(self, value: str, *, one: bool) -> str:
        return value if (_ONE_WORD if one else _PLAIN).fullmatch(value) else self._named(value)

    def _in_document(self, value: str, place: str) -> str:
        if place == LITERAL_DOCUMENT:
            acts = _INNER_SHELL.search(self._reader.bodies[-1].reader) and not _PLAIN.fullmatch(value)
            return self._named(value) if acts or self._is_run(value) else value
        return self._unless(_IN_DOCUMENT, value, value.translate(_IN_DOCUMENT_ESCAPES))

    def _unless(self, harmless: re.Pattern[str], value: str, quoted: str) -> str:
        """Return a harmless value as it is; else its name, or if it is too long for a variable, ``quoted``."""
        if harmless.fullmatch(value):
            return value
        long = len(value) > _MOST_NAMED // 4 and len(value.encode(errors="surrogateescape")) > _MOST_NAMED
        return quoted if long else self._named(value)

    def _named(self, value: str) -> str:
        return f"${{{self._names.setdefault(value, f'DAG_VALUE_{len(self._names) + 1}')}}}"

    def _keep_open(self, body: HereDocument, parts: list[_Fragment]) -> None:
        """Name the values of a here-document that one of its lines would end too early."""
        inside = [part for part in parts if part.at < body.end and part.at + len(part.source) > body.start]
        text = "".join(
            part.text if part.text != part.source else part.source[max(body.start - part.at, 0) : body.end - part.at]
            for part in inside
        )
        lines = (line.lstrip("\t") if body.tabs else line for line in text.split("\n"))
        if body.delimiter in lines:
            for part in inside:
                if part.value is not None:
                    part.text = self._named(part.value)
