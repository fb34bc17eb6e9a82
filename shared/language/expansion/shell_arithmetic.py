"""Detect references in a place that a shell evaluates as arithmetic.

In arithmetic, bash, zsh and ksh run commands in subscripts. So the value ``x[$(reboot)]`` runs a command, and so does
the value ``X`` if the variable ``X`` contains that text. Neither quoting a value nor passing it in a variable helps.

Detection uses the text around the reference. It cannot detect ``$((P))``, ``${X:${P}}`` and arithmetic with a variable
that was set from the value. docs/workflow-language.md warns authors of these.
"""

import re

__all__ = ["in_arithmetic", "only_numbers"]

_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]++|\d++(?:#\w++)?+|[\s+*/%<>=!&|^~?:,.()-])*+", re.ASCII)
_OPENS_TEST, _ENDS_TEST = re.compile(r"\[\[\s"), re.compile(r"\s\]\]")
_BETWEEN_TESTS = re.compile(r"&&|\|\||\s\]\]")
_COMPARES = re.compile(r"\s-(?:eq|ne|lt|le|gt|ge)\s")
_LET = re.compile(r"(?:^|[\s;&|(])(?:let|(?:declare|typeset|local)\s+-\w*i\w*)\s[^\n;|&]*\Z")
_OF_ARRAY = re.compile(r"\$\{[#!]?\w+\[[^\]\n]*\Z")
_ASSIGNED = re.compile(r"(?:^|[\s;&|(])[A-Za-z_]\w*\[[^\]\s]*\Z"), re.compile(r"[^\]\s]*\]\+?=")
_BY_NAME = re.compile(r"(?:declare|typeset|local|readonly)\s+-\w*A")
_PARENTHESES = re.compile(r"[()]")


def only_numbers(value: str) -> bool:
    """Return whether ``value`` consists of numbers and operators only, without names and subscripts, or is empty."""
    return _NUMBER.fullmatch(value) is not None


def in_arithmetic(before: str, after: str, *, bare: bool) -> bool:
    """Return whether a shell evaluates the text between ``before`` and ``after`` as arithmetic.

    ``bare``: the caller knows that no ``((`` is open before that text.
    """
    if (not bare and _in_open_arithmetic(before)) or _compared(before, after) or _LET.search(before):
        return True
    subscript = _OF_ARRAY.search(before) or (_ASSIGNED[0].search(before) and _ASSIGNED[1].match(after))
    # Keys of an associative array are text. With several arrays, it is not certain which one is associative.
    return subscript is not None and not _BY_NAME.search(before)


def _in_open_arithmetic(before: str) -> bool:
    opened: list[bool] = []
    last = -2
    for found in _PARENTHESES.finditer(before):
        if found[0] == ")":
            del opened[-1:]
            continue
        if opened and last == found.start() - 1:
            opened[-1] = True
        opened.append(False)
        last = found.start()
    return any(opened)


def _compared(before: str, after: str) -> bool:
    opens = [found.end() - 1 for found in _OPENS_TEST.finditer(before)]
    if not opens or _ENDS_TEST.search(before, opens[-1]):
        return False
    test = _BETWEEN_TESTS.split(before[opens[-1] :])[-1]
    return _COMPARES.search(f"{test}x{_BETWEEN_TESTS.split(after, maxsplit=1)[0]}") is not None
