"""Expand the variables in an author's text, in one pass. Scheduler and worker use the same functions.

Two modes:

- Textual (``expand_text``): replaces known references and leaves everything else to the shell that reads the text.
- Full (``expand``): also evaluates operators (``${X:-d}``), arithmetic and back-quoted commands. An unknown variable
  is empty, or stays as written (``expand_known``). Behind a backslash, a reference stays as written, with the
  backslash, unless the workflow sets its variable.

Guarantees: an inserted value is never expanded again. ``$(command)`` is never run. A back-quoted command runs only
through the argument ``run_command``, and a jq filter through ``Scope.run_filter``; without it, they stay as written.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace as replace_fields

from shared.language.expansion.arithmetic import ExpressionError, evaluate
from shared.language.expansion.globs import replace, trim_prefix, trim_suffix
from shared.language.expansion.references import (
    Arithmetic,
    Backtick,
    Piece,
    Reference,
    Substitution,
    may_be_filter,
    namespaced_name,
    parse,
)
from shared.language.expansion.scope import Scope, StepFacts, in_namespace, known_value, substring, value_of
from shared.language.expansion.shell_text import QUOTED_ESCAPES, shell_command
from shared.language.expansion.size import MOST_CHARS, ExpansionError, joined

__all__ = [
    "ExpansionError",
    "RunCommand",
    "Scope",
    "StepFacts",
    "expand",
    "expand_known",
    "expand_text",
    "is_literal",
    "literal_ends",
    "needs_shell",
    "unresolved",
]

RunCommand = Callable[[str], str]
"""Runs a command in a shell and returns its output. If it raises, the expansion fails with the same exception."""

_HOME = re.compile(r"~(?=/|\Z)")
_QUOTED_WORD = re.compile(r"([\"'])(.*)\1", re.DOTALL)
_UNESCAPED_SLASH = re.compile(r"(?<!\\)/")
_MAX_DEPTH = 20


def expand_text(text: str, scope: Scope, most: int = MOST_CHARS) -> str:
    """Expand ``text`` in textual mode: replace known references and leave everything else as written.

    Raises:
        ExpansionError: the expanded text is longer than ``most`` characters.
    """
    return joined((_textual(piece, scope) for piece in parse(text)), most)


def expand(text: str, scope: Scope, run_command: RunCommand | None = None) -> str:
    """Expand ``text`` in full mode. Without ``run_command``, back-quoted commands stay as written.

    Raises:
        ExpansionError: a variable that must be set (``${X:?}``) is not, or the expanded text is too long.
    """
    return _full(text, scope, run_command, 0)


def expand_known(text: str, scope: Scope, run_command: RunCommand | None = None) -> str:
    """Expand an argument of a program that runs without a shell, like ``expand``, but keep references that are unset.

    Such a reference is meant for the program, as ``$1`` in ``awk '{print $1}'``: no shell expands the word later. A
    reference with an operator, such as ``${X:-d}``, is expanded all the same.

    Raises:
        ExpansionError: a variable that must be set (``${X:?}``) is not, or the expanded text is too long.
    """
    home, text = _home(text, scope)
    return home + joined(
        piece.source
        if isinstance(piece, Reference) and _unset(piece, scope)
        else _full_piece(piece, scope, run_command, 0)
        for piece in parse(text)
    )


def needs_shell(text: str) -> bool:
    """Return whether ``expand`` would run a command for ``text``."""
    return any(
        isinstance(piece, Backtick) or (isinstance(piece, Reference) and bool(piece.word) and needs_shell(piece.word))
        for piece in parse(text)
    )


def is_literal(text: str) -> bool:
    """Return whether ``expand`` returns ``text`` as it is, whatever the variables are."""
    return not _HOME.match(text) and all(isinstance(piece, str) for piece in parse(text))


def literal_ends(text: str) -> tuple[str, str]:
    """Return how the result of ``expand`` begins and ends, whatever the variables are, as far as ``text`` says it."""
    pieces = parse(text)
    if not pieces or _HOME.match(text):
        return "", ""
    first, last = pieces[0], pieces[-1]
    return first if isinstance(first, str) else "", last if isinstance(last, str) else ""


def unresolved(text: str, known: Mapping[str, object]) -> bool:
    """Return whether ``text`` refers to a variable that is not in ``known``, or has a filter that a worker must apply.

    A leading ``~`` refers to ``HOME``.
    """
    if _HOME.match(text) and "HOME" not in known:
        return True
    for piece in parse(text):
        if isinstance(piece, Reference):
            plain = _as_operator(piece) if "-" in piece.name else piece
            # A number is a positional parameter, never a variable of the host.
            known_name = plain.name in known or namespaced_name(plain) in known
            if not (known_name or plain.name.isdigit()) or unresolved(plain.word, known) or may_be_filter(plain.path):
                return True
        elif isinstance(piece, Backtick) or (isinstance(piece, Arithmetic) and _arithmetic_unresolved(piece, known)):
            return True
    return False


def _arithmetic_unresolved(piece: Arithmetic, known: Mapping[str, object]) -> bool:
    missing = False

    def note(name: str) -> str:
        nonlocal missing
        missing = missing or name not in known
        return "1"

    try:
        evaluate(piece.expression, note)
    except ExpressionError:
        return True
    return missing


def _textual(piece: Piece, scope: Scope) -> str:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, Reference):
        known = known_value(piece, scope)
        return piece.source if known is None else _placed(*known)
    if isinstance(piece, Backtick):
        return f"`{expand_text(piece.command, scope)}`"
    if isinstance(piece, Substitution):
        return f"$({expand_text(piece.command, scope)})"
    return f"$(({expand_text(piece.expression, scope)}))"


def _full(text: str, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return text
    home, text = _home(text, scope)
    return home + joined(
        piece.source
        if escaped and isinstance(piece, Reference) and not _set_here(piece, scope)
        else _full_piece(piece, scope, run_command, depth)
        for escaped, piece in _escaped(parse(text))
    )


def _set_here(piece: Reference, scope: Scope) -> bool:
    """Return whether the workflow, and not the host, sets the variable of a reference without an operator."""
    return known_value(replace_fields(piece, kept=False), replace_fields(scope, host={})) is not None


def _escaped(pieces: Iterable[Piece]) -> Iterator[tuple[bool, Piece]]:
    """Yield each piece, and whether the text before it ends with a backslash that no other backslash escapes."""
    before = ""
    for piece in pieces:
        yield (len(before) - len(before.rstrip("\\"))) % 2 == 1, piece
        before = piece if isinstance(piece, str) else ""


def _home(text: str, scope: Scope) -> tuple[str, str]:
    """Return the home directory that a leading ``~`` stands for, and the text after it."""
    home = scope.lookup("HOME") if _HOME.match(text) else None
    return (home, text[1:]) if home else ("", text)


def _full_piece(piece: Piece, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    if isinstance(piece, str):
        return piece
    if isinstance(piece, Reference):
        return _full_reference(piece, scope, run_command, depth)
    if isinstance(piece, Backtick):
        return _run(piece, scope, run_command)
    return _calculate(piece, scope) if isinstance(piece, Arithmetic) else _textual(piece, scope)


def _run(piece: Backtick, scope: Scope, run_command: RunCommand | None) -> str:
    if run_command is None:
        return f"`{expand_text(piece.command, scope)}`"
    return run_command(shell_command(piece.command, scope)).strip()


def _calculate(piece: Arithmetic, scope: Scope) -> str:
    try:
        expression = expand_text(piece.expression, scope)
        return str(evaluate(expression, lambda name: scope.lookup(name) or ""))
    except ExpressionError:
        return piece.source


def _full_reference(piece: Reference, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    if "-" in piece.name and piece.name not in scope.steps:
        piece = _as_operator(piece)
    if piece.length:
        return str(len(scope.lookup(piece.name) or ""))
    if piece.operator == "-" and (known := known_value(piece, scope)) is not None:
        return _placed(*known)
    if piece.operator:
        value = scope.lookup(piece.name)
        return _operate(piece, value, lambda: _word(piece.word, scope, run_command, depth + 1))
    piece = in_namespace(piece, scope)
    value = value_of(piece, scope)
    if value is None and piece.bare:
        value = piece.path
        if piece.name[0].isdigit():
            # As in a shell, $1a is the first parameter followed by an a.
            value = (scope.lookup(piece.name[0]) or "") + piece.name[1:] + value
    if value is None and scope.run_filter is None and may_be_filter(piece.path):
        return piece.source
    return _placed(piece, value or "")


def _unset(piece: Reference, scope: Scope) -> bool:
    """Return whether nothing is known of the variable or step, and no operator says what stands in its place."""
    if piece.operator or piece.length or "-" in piece.name:
        return False
    if piece.bare and piece.name[0].isdigit() and scope.lookup(piece.name[0]) is not None:
        return False
    return value_of(in_namespace(piece, scope), scope) is None


def _word(text: str, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    """Evaluate the word after an operator. Quotes around the whole word are removed, as in ``${X:-"a b"}``."""
    quoted = _QUOTED_WORD.fullmatch(text)
    if quoted is None:
        return _full(text, scope, run_command, depth)
    return quoted[2] if quoted[1] == "'" else _full(quoted[2], scope, run_command, depth)


def _as_operator(piece: Reference) -> Reference:
    """Return ``${A-b.c}`` read as variable ``A`` with the default ``b.c``, because no step has the id ``A-b``."""
    name, _, word = piece.name.partition("-")
    return Reference(piece.source, name, operator="-", word=word + piece.path)


def _placed(piece: Reference, value: str) -> str:
    return f'"{value.translate(QUOTED_ESCAPES)}"' if piece.quoted else value


def _operate(piece: Reference, value: str | None, word: Callable[[], str]) -> str:
    """Return the value with the operator applied. ``word`` returns the expanded word; it is called only if needed."""
    operator = piece.operator
    absent = not value if operator.startswith(":") and operator != ":" else value is None
    text = value or ""
    kind = operator[-1]
    if operator == ":":
        return substring(text, word())
    if kind in "-=":
        return word() if absent else text
    if kind == "+":
        return "" if absent else word()
    if kind == "?":
        if absent:
            raise ExpansionError(f"{piece.name}: {word() or 'parameter not set'}")
        return text
    if kind == "#":
        return trim_prefix(text, word(), longest=len(operator) == 2)
    if kind == "%":
        return trim_suffix(text, word(), longest=len(operator) == 2)
    if kind == "/":
        pattern, _, by = _UNESCAPED_SLASH.sub("\0", word(), count=1).partition("\0")
        return replace(text, pattern, by, every=len(operator) == 2)
    changed = str.upper if kind == "^" else str.lower
    return changed(text) if len(operator) == 2 else changed(text[:1]) + text[1:]
