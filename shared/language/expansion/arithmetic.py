"""Evaluate shell arithmetic, ``$((expression))``, on 64-bit integers. No code is executed."""

import re
from collections.abc import Callable

__all__ = ["ExpressionError", "evaluate"]

_TOKEN = re.compile(
    r"\s*(0[xX][0-9a-fA-F]+|\d+|\$?[A-Za-z_]\w*|\$\d+|\*\*|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%()<>!~&|^?:])"
)
_MAX_LENGTH = 1000
_MAX_DEPTH = 50
_MAX_DIGITS = 40

_LEVELS: dict[str, int] = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, "<=": 7, ">": 7, ">=": 7,
    "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip


class ExpressionError(ValueError):
    """The arithmetic expression is invalid or too large, or divides by zero."""


def evaluate(text: str, lookup: Callable[[str], str]) -> int:
    """Return the value of an expression. ``lookup`` returns the text of a variable, or an empty text if it is unset.

    Raises:
        ExpressionError: the expression cannot be evaluated.
    """
    if len(text) > _MAX_LENGTH:
        raise ExpressionError(f"the arithmetic expression is longer than {_MAX_LENGTH} characters")
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise ExpressionError(f"syntax error in the arithmetic expression at {stripped[position:][:20]!r}")
        tokens.append(match[1])
        position = match.end()
    if not tokens:
        return 0
    parser = _Parser(tokens, lookup)
    value = parser.ternary(0)
    if parser.peek():
        raise ExpressionError(f"unexpected {parser.peek()!r} after the arithmetic expression")
    return value


class _Parser:
    """Evaluates the tokens of an expression by precedence climbing."""

    def __init__(self, tokens: list[str], lookup: Callable[[str], str]) -> None:
        self._tokens = tokens
        self._lookup = lookup
        self._next = 0

    def peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self, expected: str = "") -> str:
        token = self.peek()
        if not token or (expected and token != expected):
            raise ExpressionError(
                f"the arithmetic expression needs {expected or 'a value'}, but has {token or 'nothing more'}"
            )
        self._next += 1
        return token

    def ternary(self, depth: int) -> int:
        if depth > _MAX_DEPTH:
            raise ExpressionError(f"the arithmetic expression is nested deeper than {_MAX_DEPTH} levels")
        value = self._binary(1, depth + 1)
        if self.peek() != "?":
            return value
        self._take()
        yes = self.ternary(depth + 1)
        self._take(":")
        no = self.ternary(depth + 1)
        return yes if value else no

    def _binary(self, level: int, depth: int) -> int:
        left = self._unary(depth)
        while (rank := _LEVELS.get(self.peek(), 0)) >= level:
            operator = self._take()
            left = _apply(operator, left, self._binary(rank + 1, depth + 1))
        return left

    def _unary(self, depth: int) -> int:
        if depth > _MAX_DEPTH:
            raise ExpressionError(f"the arithmetic expression has more than {_MAX_DEPTH} nested operators")
        if self.peek() in ("-", "+", "!", "~"):
            operator = self._take()
            value = self._unary(depth + 1)
            return _wrap({"-": -value, "+": value, "!": int(not value), "~": ~value}[operator])
        base = self._atom(depth)
        if self.peek() != "**":
            return base
        self._take()
        exponent = self._unary(depth + 1)
        if exponent < 0:
            raise ExpressionError(f"the exponent of ** is negative: {exponent}")
        return _wrap(pow(base, exponent, 2**64))

    def _atom(self, depth: int) -> int:
        if self.peek() == "(":
            self._take()
            value = self.ternary(depth + 1)
            self._take(")")
            return value
        word = self._take()
        if word[0].isdigit():
            return _number(word)
        if word[0] in "$_" or word[0].isalpha():
            return _number(self._lookup(word.lstrip("$")).strip() or "0")
        raise ExpressionError(f"unexpected {word!r} in the arithmetic expression")


def _number(text: str) -> int:
    base = 16 if text[:2].lower() == "0x" else 8 if len(text) > 1 and text[0] == "0" else 10
    try:
        return _wrap(int(text[:_MAX_DIGITS], base))
    except ValueError:
        raise ExpressionError(f"{text[:_MAX_DIGITS]!r} in the arithmetic expression is not a number") from None


def _wrap(value: int) -> int:
    return (value + 2**63) % 2**64 - 2**63


def _apply(operator: str, a: int, b: int) -> int:
    if operator in ("/", "%"):
        if b == 0:
            raise ExpressionError("division by 0")
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return _wrap(quotient if operator == "/" else a - quotient * b)
    if operator in ("<<", ">>"):
        return _wrap(a << (b & 63) if operator == "<<" else a >> (b & 63))
    results = {
        "+": a + b, "-": a - b, "*": a * b, "|": a | b, "&": a & b, "^": a ^ b,
        "==": a == b, "!=": a != b, "<": a < b, "<=": a <= b, ">": a > b, ">=": a >= b,
        "&&": bool(a and b), "||": bool(a or b),
    }  # fmt: skip
    return _wrap(int(results[operator]))
