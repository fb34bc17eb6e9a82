"""Detect where a shell evaluates its text as arithmetic.

There bash, zsh and ksh run a command that a subscript holds: ``x[$(reboot)]`` is such a value, and so is ``X`` where
the variable ``X`` holds that. So neither quotes nor a variable make a value safe.

The text around a reference decides. Where a shell evaluates by itself (``$((P))``, ``${X:${P}}``, a variable that was
set from the value) it cannot be detected: docs/workflow-language.md warns authors.
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
    """Whether ``value`` is empty, or made of numbers and operators only. Names and subscripts are neither."""
    return _NUMBER.fullmatch(value) is not None


def in_arithmetic(before: str, after: str, *, bare: bool) -> bool:
    """Whether a shell evaluates what stands between ``before`` and ``after`` as arithmetic.

    ``bare``: the caller knows that no ``((`` is open around it.
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
