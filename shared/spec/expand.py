"""Expand the variables of author-written text: pure, one pass, the same on scheduler and worker.

Two modes. Textual: known references are replaced, everything else stays for the shell that will
read the text. Full: also operators (``${X:-d}``), arithmetic and command substitution, and an unknown
variable is empty. Guarantees: an inserted value is never expanded itself; ``$(…)`` is never run;
a back-quoted command only runs through ``run_command``, and stays as written without one.
"""

import re
from collections.abc import Callable, Mapping

from shared.spec.arithmetic import ArithmeticFault, evaluate
from shared.spec.globs import replace, trim_prefix, trim_suffix
from shared.spec.references import Arithmetic, Backtick, Piece, Reference, Substitution, parse
from shared.spec.scope import Scope, StepFacts, substring, value_of
from shared.spec.shell_text import QuoteState, placed_in_shell

__all__ = [
    "ExpandFault",
    "RunCommand",
    "Scope",
    "StepFacts",
    "expand",
    "expand_text",
    "needs_shell",
    "shell_command",
    "unresolved",
]

RunCommand = Callable[[str], str]
"""Runs a command text in a shell and returns its output; raises to make the expansion fail."""

_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"})
_SHELL_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "$": "\\$", "`": "\\`"})
_RUNS_COMMANDS = re.compile(r"`|\$\(")
_ACTS = re.compile(r"[`;|&<>()\n]")
"""What may begin another command, or send output elsewhere, where a shell reads it outside quotes or ends them."""
_INTRICATE = re.compile(r"<<|`|\$\(|(?:^|\s)#", re.MULTILINE)
"""Here-documents, comments, commands within commands: what quotes are open in them is not told by quotes alone."""
_HOME = re.compile(r"~(?=/|\Z)")
_QUOTED_WORD = re.compile(r"([\"'])(.*)\1", re.DOTALL)
_UNESCAPED_SLASH = re.compile(r"(?<!\\)/")
_MAX_DEPTH = 20
_SINGLE = "'"


class ExpandFault(ValueError):
    """``${X:?message}`` found X unset."""


def expand_text(text: str, scope: Scope) -> str:
    """Replace known references in ``text`` and leave all the rest as it is (textual mode)."""
    if scope.aside is None or _INTRICATE.search(text):
        return "".join(_textual(piece, scope) for piece in parse(text))
    state, parts = QuoteState(), []
    for piece in parse(text):
        parts.append(_textual(piece, scope, state.quote))
        state.read(piece if isinstance(piece, str) else piece.source)
    return "".join(parts)


def expand(text: str, scope: Scope, run_command: RunCommand | None = None) -> str:
    """Evaluate ``text`` fully; without ``run_command`` back-quoted commands stay as written.

    Raises:
        ExpandFault: a variable that must be set (``${X:?}``) is not.
    """
    return _full(text, scope, run_command, 0)


def needs_shell(text: str) -> bool:
    """Whether full evaluation of ``text`` would run a command."""
    return any(
        isinstance(piece, Backtick) or (isinstance(piece, Reference) and bool(piece.word) and needs_shell(piece.word))
        for piece in parse(text)
    )


def unresolved(text: str, known: Mapping[str, object]) -> bool:
    """Whether ``text`` refers to a variable that is not in ``known``, be it by ``~``."""
    if _HOME.match(text) and "HOME" not in known:
        return True
    for piece in parse(text):
        if isinstance(piece, Reference):
            plain = _as_operator(piece) if "-" in piece.name else piece
            # A number is a positional parameter, which no host can have.
            if not (plain.name in known or plain.name.isdigit()) or unresolved(plain.word, known):
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
    except ArithmeticFault:
        return True
    return missing


def _textual(piece: Piece, scope: Scope, quote: str | None = None) -> str:
    """``quote``: what is open where the piece stands, if that is known for certain."""
    if isinstance(piece, str):
        return piece
    if isinstance(piece, Reference):
        if (dashed := _dashed(piece, scope, quote)) is not None:
            return dashed
        if piece.operator or piece.length or piece.kept:
            return piece.source
        value = value_of(piece, scope)
        return piece.source if value is None else _placed(piece, value, scope, quote)
    if isinstance(piece, Backtick):
        return f"`{expand_text(piece.command, scope)}`"
    if isinstance(piece, Substitution):
        return f"$({expand_text(piece.command, scope)})"
    return f"$(({expand_text(piece.expression, scope)}))"


def _full(text: str, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return text
    parts: list[str] = []
    if _HOME.match(text) and (home := scope.lookup("HOME")):
        parts, text = [home], text[1:]
    for piece in parse(text):
        if isinstance(piece, str):
            parts.append(piece)
        elif isinstance(piece, Reference):
            parts.append(_full_reference(piece, scope, run_command, depth))
        elif isinstance(piece, Backtick):
            parts.append(_run(piece, scope, run_command))
        elif isinstance(piece, Arithmetic):
            parts.append(_calculate(piece, scope))
        else:
            parts.append(_textual(piece, scope))
    return "".join(parts)


def _run(piece: Backtick, scope: Scope, run_command: RunCommand | None) -> str:
    if run_command is None:
        return f"`{expand_text(piece.command, scope)}`"
    return run_command(shell_command(piece.command, scope)).strip()


def shell_command(text: str, scope: Scope) -> str:
    """Replace known references in a command so that no value can act as shell syntax, but for the author's own.

    A value outside quotes is split into words, as a shell does with a variable; none of its
    characters reaches the shell with a meaning.
    """
    state = QuoteState()
    parts: list[str] = []
    for piece in parse(text):
        known = isinstance(piece, Reference) and not piece.operator and not piece.kept
        value = value_of(piece, scope) if isinstance(piece, Reference) and known else None
        if isinstance(piece, Reference) and value is not None and not piece.length:
            if piece.quoted or not scope.trusts(piece):
                parts.append(f'"{value.translate(_SHELL_ESCAPES)}"' if piece.quoted else placed_in_shell(value, state))
                continue
            source = value
        else:
            source = piece if isinstance(piece, str) else piece.source
        state.read(source)
        parts.append(source)
    return "".join(parts)


def _calculate(piece: Arithmetic, scope: Scope) -> str:
    try:
        expression = expand_text(piece.expression, scope)
        return str(evaluate(expression, lambda name: scope.lookup(name) or ""))
    except ArithmeticFault:
        return piece.source


def _full_reference(piece: Reference, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    if "-" in piece.name and piece.name not in scope.steps:
        piece = _as_operator(piece)
    if piece.length:
        return str(len(scope.lookup(piece.name) or ""))
    if (dashed := _dashed(piece, scope)) is not None:
        return dashed
    if piece.operator:
        value = scope.lookup(piece.name)
        return _operate(piece, value, lambda: _word(piece.word, scope, run_command, depth + 1))
    value = value_of(piece, scope)
    if value is None and piece.bare:
        value = piece.path
        if piece.name[0].isdigit():
            # As in a shell, $1a is the first parameter and an a.
            value = (scope.lookup(piece.name[0]) or "") + piece.name[1:] + value
    return _placed(piece, value or "", scope)


def _dashed(piece: Reference, scope: Scope, quote: str | None = None) -> str | None:
    """Return what ``${A-b}`` means where a variable is called ``A-b``, which no shell could read."""
    if piece.operator != "-":
        return None
    name = f"{piece.name}-{piece.word}"
    value = scope.lookup(name)
    return None if value is None else _placed(Reference(piece.source, name, quoted=piece.quoted), value, scope, quote)


def _word(text: str, scope: Scope, run_command: RunCommand | None, depth: int) -> str:
    """Evaluate what follows an operator; quotes around all of it are the shell's, as in ``${X:-"a b"}``."""
    quoted = _QUOTED_WORD.fullmatch(text)
    if quoted is None:
        return _full(text, scope, run_command, depth)
    return quoted[2] if quoted[1] == "'" else _full(quoted[2], scope, run_command, depth)


def _as_operator(piece: Reference) -> Reference:
    """Read ``${A-b.c}`` as a default: no step is called ``A-b``."""
    name, _, word = piece.name.partition("-")
    return Reference(piece.source, name, operator="-", word=word + piece.path)


def _placed(piece: Reference, value: str, scope: Scope, quote: str | None = None) -> str:
    if piece.quoted:
        return f'"{value.translate(_SHELL_ESCAPES if scope.shell_safe and quote != _SINGLE else _ESCAPES)}"'
    if scope.aside is None or scope.trusts(piece):
        return value
    if quote == _SINGLE and "'" not in value:
        return value
    acts = _RUNS_COMMANDS if quote is None or quote == _SINGLE else _ACTS
    if not acts.search(value):
        return value
    # Named, it cannot act whatever stands around it: quotes, a comment's apostrophe, a here-document.
    name = f"DAG_VALUE_{len(scope.aside) + 1}"
    scope.aside[name] = value
    return f"${{{name}}}"


def _operate(piece: Reference, value: str | None, word: Callable[[], str]) -> str:
    """Apply a parameter operator; ``word`` is expanded only when it is used."""
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
            raise ExpandFault(f"{piece.name}: {word() or 'parameter not set'}")
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
