"""Where a shell takes what stands in its text for a sum: there bash and zsh run a command that a subscript holds.

``x[$(reboot)]`` is such a value, and ``X`` where the variable ``X`` holds that. A place is told by the text around
it. What a shell evaluates by itself (``$((P))``, ``${X:${P}}``, a variable that was set from the value) cannot be seen
from here.
"""

import re

__all__ = ["in_sum", "is_number"]

_NUMBER = re.compile(r"(?:0[xX][0-9a-fA-F]++|\d++(?:#\w++)?+|[\s+*/%<>=!&|^~?:,.()-])*+", re.ASCII)
_OPENS_TEST, _ENDS_TEST = re.compile(r"\[\[\s"), re.compile(r"\s\]\]")
_BETWEEN_TESTS = re.compile(r"&&|\|\||\s\]\]")
_COMPARES = re.compile(r"\s-(?:eq|ne|lt|le|gt|ge)\s")
_LET = re.compile(r"(?:^|[\s;&|(])(?:let|(?:declare|typeset|local)\s+-\w*i\w*)\s[^\n;|&]*\Z")
_OF_ARRAY = re.compile(r"\$\{[#!]?\w+\[[^\]\n]*\Z")
_ASSIGNED = re.compile(r"(?:^|[\s;&|(])[A-Za-z_]\w*\[[^\]\s]*\Z"), re.compile(r"[^\]\s]*\]\+?=")
_BY_NAME = re.compile(r"(?:declare|typeset|local|readonly)\s+-\w*A")
_PARENTHESES = re.compile(r"[()]")


def is_number(value: str) -> bool:
    """Whether a sum that reads ``value`` finds figures and operators only, or nothing."""
    return _NUMBER.fullmatch(value) is not None


def in_sum(before: str, after: str, *, bare: bool) -> bool:
    """Whether what stands between is read as a sum; ``bare``: it is known that no construct is open around it."""
    if (not bare and _open_sum(before)) or _compared(before, after) or _LET.search(before):
        return True
    subscript = _OF_ARRAY.search(before) or (_ASSIGNED[0].search(before) and _ASSIGNED[1].match(after))
    # The elements of such an array have names; which of several arrays is one cannot be told.
    return subscript is not None and not _BY_NAME.search(before)


def _open_sum(before: str) -> bool:
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
