"""The parser of the variable language: finds the references in an author's text.

The text is cut once into literal pieces and references. The value that later replaces a reference is never parsed, so
a value cannot bring in a command or another reference.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

__all__ = [
    "Arithmetic",
    "Backtick",
    "PathStep",
    "Piece",
    "Reference",
    "Substitution",
    "may_be_filter",
    "names_in",
    "namespaced_name",
    "parse",
    "path_steps",
]

_MARK = re.compile(r"[$`]")
_BARE = re.compile(r"\$([A-Za-z0-9_]+)((?:\.(?:[A-Za-z0-9_-]+|\[(?:-?\d{1,9})?\])(?:\[(?:-?\d{1,9})?\])*)*)")
_NAME = re.compile(r"#?[A-Za-z0-9_]+")
_QUOTED_KEY = r"\"[^\"{}'`$\n]*\""
_BRACED = re.compile(
    r"\$\{([A-Za-z0-9_-]+)"
    rf"(\.(?:[^{{}}:'`$\s\"\[\]]|\[[^\[\]{{}}'`$\"\n]*\]|\[{_QUOTED_KEY}\]|{_QUOTED_KEY})+)?"
    r"((?::\d{1,9}){1,2})?\}"
)
_FILTER = re.compile(r"\$\{([A-Za-z0-9_]+)(\.[^{}`]+)\}")
_MINUS = re.compile(r"\w-[\d.]")
_PATH_STEP = re.compile(
    r"(?:\.?\[(?P<index>-?\d{1,9})\]"
    r"|\.?\[(?P<low>-?\d{1,9})?:(?P<high>-?\d{1,9})?\]"
    r"|(?P<each>\.?\[\])"
    r"|(?:\.?\[(?=\")|\.(?=\"))\"(?P<key>[^\"]*)\"\]?"
    r"|\.(?P<name>[A-Za-z0-9_-]+)"
    r"|\.(?=\[))\??"
)
_OPERATOR = re.compile(r":[-=+?]|##?|%%?|//?|\^\^?|,,?|[-=+?]|:")
_BACKTICK = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
_WORD = re.compile(r"\w+")
_NAMESPACE = "dagu2"
_IN_NAMESPACE = re.compile(r"\.(?:params|env)\.([A-Za-z_]\w*)\Z")
_MAX_DEPTH = 20
_MAX_CACHED = 2000


@dataclass(frozen=True, slots=True)
class Reference:
    """``$NAME``, ``${NAME.path}``, ``${id.stdout:0:5}``, ``${#NAME}`` or ``${NAME<operator>word}``.

    - ``source``: the text as written.
    - ``path``: a path into a JSON value, or a jq filter: ``.a[0]``, ``.a | length``.
    - ``bare``: the reference is written without braces.
    - ``quoted``: the reference stands alone between double quotes. ``source`` then includes the quotes.
    - ``kept``: the reference is next to a single quote, so textual mode leaves it to the shell.
    - ``namespaced``: it was written as ``${dagu2.params.NAME}`` or ``${dagu2.env.NAME}``, which only Dagway replaces.
    - ``operator``, ``word`` and ``length`` (``${#NAME}``): used in full mode only.
    """

    source: str
    name: str
    path: str = ""
    slice: tuple[int, ...] = ()
    quoted: bool = False
    operator: str = ""
    word: str = ""
    length: bool = False
    bare: bool = False
    kept: bool = False
    namespaced: bool = False


@dataclass(frozen=True, slots=True)
class Backtick:
    """A back-quoted command. ``command`` is the author's text, which may contain references."""

    source: str
    command: str


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Arithmetic: ``$((expression))``."""

    source: str
    expression: str


@dataclass(frozen=True, slots=True)
class Substitution:
    """A command ``$(command)``. Dagway never runs it, but replaces the known references in it."""

    source: str
    command: str


PathStep = str | int | slice | None
"""One step of a JSON path: a key, an index, a slice, or ``None`` for each item."""

Piece = str | Reference | Backtick | Arithmetic | Substitution


def parse(text: str) -> tuple[Piece, ...]:
    """Return ``text`` cut into literal pieces and references. Never fails: text that is not a reference is literal."""
    if "$" not in text and "`" not in text:
        return (text,) if text else ()
    return _parse_cached(text) if len(text) <= _MAX_CACHED else _parse(text)


def _parse(text: str) -> tuple[Piece, ...]:
    pieces: list[Piece] = []
    start = position = 0
    while (mark := _MARK.search(text, position)) is not None:
        piece, begin, end = _piece_at(text, mark.start(), start)
        if piece is None:
            position = end
            continue
        if begin > start:
            pieces.append(text[start:begin])
        pieces.append(piece)
        start = position = end
    if start < len(text):
        pieces.append(text[start:])
    return tuple(pieces)


_parse_cached = lru_cache(maxsize=1024)(_parse)


def _piece_at(text: str, at: int, start: int) -> tuple[Piece | None, int, int]:
    """Return (piece, begin, end) for the ``$`` or back quote at ``at``. The piece before it ends at ``start``.

    If it begins no reference or command, the piece is ``None``, and the search continues at ``end``.
    """
    if text[at] == "`":
        return _backtick_at(text, at)
    if text.startswith("$((", at):
        end = _closing(text, at + 1, "(", ")")
        if end > 0 and text[end - 2 : end] == "))":
            return Arithmetic(text[at:end], text[at + 3 : end - 2]), at, end
    if text.startswith("$(", at):
        end = _closing(text, at + 1, "(", ")")
        return (Substitution(text[at:end], text[at + 2 : end - 1]), at, end) if end > 0 else (None, at, at + 2)
    found = _reference_at(text, at)
    if found is None:
        return None, at, at + 1
    end = at + len(found.source)
    before, after = text[at - 1 : at] if at > start else "", text[end : end + 1]
    if (not found.path and "'" in (before, after)) or (found.bare and before == after == "'"):
        # In awk '$1 > 5' the variable is awk's. But a reference with a path, '${OUT.key}', can only be Dagway's.
        return replace(found, kept=True), at, end
    if not found.bare and before == '"' and after == '"' and not found.operator and not found.length:
        quoted = Reference(f'"{found.source}"', found.name, found.path, found.slice, quoted=True)
        return quoted, at - 1, end + 1
    return found, at, end


def _backtick_at(text: str, at: int) -> tuple[Piece | None, int, int]:
    if at and text[at - 1] == "\\":
        return None, at, at + 1
    match = _BACKTICK.match(text, at)
    if match is None:
        # The back quote is not closed, so no later one is closed either. But references may follow.
        return None, at, at + 1
    if not match[1].strip():
        return None, at, match.end()
    return Backtick(match[0], match[1]), at, match.end()


def _reference_at(text: str, at: int) -> Reference | None:
    if not text.startswith("${", at):
        bare = _BARE.match(text, at)
        return Reference(bare[0], bare[1], bare[2], bare=True) if bare else None
    simple = _BRACED.match(text, at)
    if simple is not None:
        numbers = tuple(int(part) for part in simple[3].split(":")[1:]) if simple[3] else ()
        if simple[2] or ("-" not in simple[1] and not numbers):
            return Reference(simple[0], simple[1], simple[2] or "", numbers)
    if (filtered := _FILTER.match(text, at)) is not None:
        return Reference(filtered[0], filtered[1], filtered[2])
    end = _closing(text, at + 1, "{", "}")
    if end < 0:
        return None
    inner = text[at + 2 : end - 1]
    name = _NAME.match(inner)
    if name is None:
        return None
    source, rest = text[at:end], inner[name.end() :]
    if name[0].startswith("#"):
        return None if rest else Reference(source, name[0][1:], length=True)
    operator = _OPERATOR.match(rest)
    if operator is None:
        return None
    return Reference(source, name[0], operator=operator[0], word=rest[operator.end() :])


def _closing(text: str, at: int, opening: str, closing: str) -> int:
    """Return the position after the bracket that closes the bracket at ``at``, or -1 if there is none."""
    depth = 0
    for position in range(at, min(len(text), at + 10_000)):
        char = text[position]
        if char == opening:
            depth += 1
            if depth > _MAX_DEPTH:
                return -1
        elif char == closing:
            depth -= 1
            if depth == 0:
                return position + 1
    return -1


def namespaced_name(piece: Reference) -> str:
    """Return ``NAME`` of ``${dagu2.params.NAME}`` or ``${dagu2.env.NAME}``; empty for any other reference.

    Dagu 2 writes ``${params.NAME}`` and ``${env.NAME}``. In a file of Dagu 1 these belong to the program that the step
    runs, such as a template of JavaScript, so ``shared.language.dagu2`` gives those of Dagu 2 a name of their own.
    """
    if piece.name != _NAMESPACE or piece.bare or piece.slice:
        return ""
    match = _IN_NAMESPACE.match(piece.path)
    return match[1] if match else ""


def names_in(text: str) -> frozenset[str]:
    """Return every name that ``text`` may refer to, at any depth. It may return names that are not references."""
    found: set[str] = set()
    for piece in parse(text):
        if isinstance(piece, Reference):
            # $1a is the first parameter followed by an a. ${A-b} is the variable A-b, or A with the default b.
            found |= {piece.name, piece.name[:1], piece.name.partition("-")[0], f"{piece.name}-{piece.word}"}
            found |= names_in(piece.word)
            found |= {namespaced_name(piece) or piece.name}
        elif isinstance(piece, Arithmetic):
            found |= {*_WORD.findall(piece.expression)}
        elif not isinstance(piece, str):
            found |= names_in(piece.command)
    return frozenset(found)


def may_be_filter(path: str) -> bool:
    """Return whether ``path`` is a jq filter, such as ``.a | length``, or may be one, such as ``.a-1``."""
    return bool(path) and (path_steps(path) is None or _MINUS.search(path) is not None)


def path_steps(path: str) -> tuple[PathStep, ...] | None:
    """Return the steps of a JSON path such as ``.a[0].b``, or ``None`` if ``path`` is not a JSON path.

    A step is also ``["a b"]``, ``."a b"``, ``[-1]``, ``[1:3]`` or ``[]`` (the first item). A ``?`` after a step is
    ignored: in jq it allows the step to be missing, and here every step may be missing.
    """
    steps: list[PathStep] = []
    position = 0
    while position < len(path):
        match = _PATH_STEP.match(path, position)
        if match is None:
            return None
        position = match.end()
        found = match.groupdict()
        if found["index"] is not None:
            steps.append(int(found["index"]))
        elif ":" in match[0] and found["key"] is None:
            steps.append(slice(*(int(end) if end else None for end in (found["low"], found["high"]))))
        elif found["each"]:
            steps.append(None)
        elif (name := found["key"] if found["key"] is not None else found["name"]) is not None:
            steps.append(name)
    return tuple(steps)
