"""Detect references in a place that a shell evaluates as arithmetic.

In arithmetic, bash, zsh and ksh run commands in subscripts. So the value ``x[$(reboot)]`` runs a command, and so does
the value ``X`` if the variable ``X`` contains that text. Neither quoting a value nor passing it in a variable helps.

Detection uses the text around the reference. It cannot detect ``$((P))``, ``${X:${P}}`` and arithmetic with a variable
that was set from the value. docs/workflow-language.md warns authors of these.
"""

import re

__all__ = ["Calculations", "only_numbers"]

_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]++|\d++(?:#\w++)?+|[\s+*/%<>=!&|^~?:,.()-])*+", re.ASCII)
_PARENTHESES = re.compile(r"[()]")
_TESTS = re.compile(r"(?P<opens>\[\[(?=\s))|(?P<ends>\s\]\])|(?P<next>&&|\|\|)|\s-(?:eq|ne|lt|le|gt|ge)(?=\s)")
_END_OF_TEST = re.compile(r"&&|\|\||\s\]\]")
_COMPARES = re.compile(r"\s-(?:eq|ne|lt|le|gt|ge)\s")
_LET = re.compile(r"(?P<opens>(?<![^\s;&|(])(?:let|(?:declare|typeset|local)\s++-(?=[^\Wi]*+i)\w++)\s)|[\n;|&]")
_OF_ARRAY = re.compile(r"(?P<opens>\$\{[#!]?\w++\[)|[\]\n]")
_ASSIGNED = re.compile(r"(?P<opens>(?<![^\s;&|(])[A-Za-z_]\w*+\[)|[\]\s]")
_ASSIGNS = re.compile(r"[^\]\s]*\]\+?=")
_BY_NAME = re.compile(r"(?:declare|typeset|local|readonly)\s++-\w*A")


def only_numbers(value: str) -> bool:
    """Return whether ``value`` consists of numbers and operators only, without names and subscripts, or is empty."""
    return _NUMBER.fullmatch(value) is not None


class Calculations:
    """Says where a shell evaluates a text from ``start`` on as arithmetic.

    It is asked about one reference after the other, and reads the text once for all of them. None of the patterns
    matches a ``$`` or a quote after its first character, so no match goes across the beginning of a reference.
    """

    def __init__(self, text: str, start: int = 0) -> None:
        self.start = start
        self._text = text
        self._at = start
        self._opened: list[bool] = []
        """The open parentheses: whether another one follows each of them directly."""
        self._doubled = 0
        self._last = -2
        self._in_test = self._compared = False
        self._let = self._of_array = self._assigned = self._by_name = False

    def evaluates(self, at: int, after: str, *, bare: bool) -> bool:
        """Return whether a shell evaluates what is at ``at`` as arithmetic. ``after`` is the text that follows it.

        ``bare``: the caller knows that no ``((`` is open before.
        """
        self._read_to(at)
        if (not bare and self._doubled) or (self._in_test and (self._compared or _compares(after))) or self._let:
            return True
        subscript = self._of_array or (self._assigned and _ASSIGNS.match(after) is not None)
        # Keys of an associative array are text. With several arrays, it is not certain which one is associative.
        return subscript and not self._by_name

    def _read_to(self, at: int) -> None:
        self._count_parentheses(at)
        for found in _TESTS.finditer(self._text, self._at, at):
            if found.lastgroup in ("opens", "ends"):
                self._in_test = found.lastgroup == "opens"
            self._compared = found.lastgroup is None
        self._let = self._is_open(_LET, at, before=self._let)
        self._of_array = self._is_open(_OF_ARRAY, at, before=self._of_array)
        self._assigned = self._is_open(_ASSIGNED, at, before=self._assigned)
        self._by_name = self._by_name or _BY_NAME.search(self._text, self._at, at) is not None
        self._at = at

    def _count_parentheses(self, at: int) -> None:
        for found in _PARENTHESES.finditer(self._text, self._at, at):
            if found[0] == ")":
                self._doubled -= self._opened.pop() if self._opened else False
                continue
            if self._opened and self._last == found.start() - 1 and not self._opened[-1]:
                self._opened[-1] = True
                self._doubled += 1
            self._opened.append(False)
            self._last = found.start()

    def _is_open(self, pattern: re.Pattern[str], at: int, *, before: bool) -> bool:
        for found in pattern.finditer(self._text, self._at, at):
            before = found.lastgroup == "opens"
        return before


def _compares(after: str) -> bool:
    return _COMPARES.search(_END_OF_TEST.split(after, maxsplit=1)[0]) is not None
