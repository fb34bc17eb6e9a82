"""Find parameters that a command puts into the code of another shell, which would run a command in their values.

Only what the author's own quotes make certain is found: ``bash -c "… ${P} …"``, ``eval … ${P}``, and ``bash <<END``
with ``${P}`` in the document. Code between single quotes is safe, see ``shared.language.expansion.shell_text``.
"""

import re
from collections.abc import Collection, Iterator

__all__ = ["param_in_code"]

_SHELL = r"(?<![\w.-])(?:ba|da|z|k|mk|a)?sh"
_OPENING = re.compile(
    rf"{_SHELL}\s+(?:-\w+\s+)*-\w*c\s+(?P<code>\"(?:[^\"\\]|\\.)*\"|(?:\\.|[^'\"\s;&|\\])+)"
    r"|(?<![\w.-])eval\s(?P<words>[^\n;&|]+)"
    rf"|{_SHELL}(?:[^\S\n]+-\w+)*[^\S\n]*<<-?[^\S\n]*(?P<delimiter>\w+)",
    re.DOTALL,
)
_SINGLE_QUOTED = re.compile(r"'[^']*'")
_REFERENCE = re.compile(r"(?<!\\)\$\{?(\w+)")


def param_in_code(text: str, names: Collection[str]) -> str | None:
    """Return the first of the parameters ``names`` that ``text`` puts into another shell's code."""
    if not names:
        return None
    references = (found[1] for code in _codes(text) for found in _REFERENCE.finditer(code))
    return next((name for name in references if name in names), None)


def _codes(text: str) -> Iterator[str]:
    at = 0
    while found := _OPENING.search(text, at):
        if found["delimiter"] is None:
            at = found.end()
            yield found["code"] or _SINGLE_QUOTED.sub("", found["words"])
        else:
            end = re.compile(rf"\n\t*{found['delimiter']}\b").search(text, found.end())
            at = end.start() if end else len(text)
            yield text[found.end() : at]
