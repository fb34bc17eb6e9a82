"""Make text that Dagu reads readable for libyaml, which is stricter.

Three things occur in workflow files, work in Dagu, and stop libyaml:

- control characters in a text, such as an escape sequence for colours, and the line ends U+0085, U+2028 and U+2029,
  which are no line ends in YAML 1.2: other characters stand in for them while libyaml reads;
- a value that begins with ``%``, such as ``FORMAT: %Y``: a character stands in for the ``%``;
- a tab before a comment, after the dash of an item, or in a line of nothing but white space: it becomes a space, or the
  line becomes empty, unless the tab is part of a block of text. A text that libyaml reads keeps its tabs.

Every other character keeps its line and column.
"""

import re
from typing import Any

import yaml

__all__ = ["YamlLoader", "readable"]

YamlLoader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_STAND_INS = 0x10F000
"""The first of 256 private characters. Only a text that contains none of them is changed."""
_STRANGE = re.compile(r"[\x02-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029%](?<!(?<![ \t\[{,])%)")
"""U+0001 is not among them: it stands for NUL in a stored text, which must not be taken for a workflow.

The same with ``|`` takes ten times as long.
"""
_OWN = re.compile(f"[{chr(_STAND_INS)}-{chr(_STAND_INS + 0xFF)}]")
_HAS_TAB = re.compile(r"^ *(?:\t[ \t]*(?:\r?$|#)|- *\t)", re.MULTILINE)
_TAB = re.compile(r"[ \t]+(?=#)| *-[ \t]+")
"""The beginning of a line in which a tab is like a space."""
_PREFIX = re.compile(r" *(?:- +)*")
_BLOCK = re.compile(r"(?:^|[:?-][ \t]+)(?:[&!]\S*[ \t]+)*[|>][0-9+-]*[ \t]*(?:#.*)?\Z")
"""The end of a line after which a block of text begins."""
_TAIL = 200
"""So many characters of a line are searched for it, because the search in a hostile line could take long."""
_NO_TEXT = 1 << 30
"""The column of the text of a block while there is none."""


def readable(text: str) -> tuple[str, dict[int, str]]:
    """Return the text for libyaml, and for ``str.translate`` what the characters that stand in mean."""
    meant = {}
    found = set(_STRANGE.findall(text))
    if found and not _OWN.search(text):
        # The low bytes differ: those of U+2028 and U+2029 are those of brackets, which stay.
        stand_ins = {char: chr(_STAND_INS + (ord(char) & 0xFF)) for char in found}
        text = _STRANGE.sub(lambda match: stand_ins[match[0]], text)
        meant = {ord(new): old for old, new in stand_ins.items()}
    if "\t" in text and _HAS_TAB.search(text) and not _is_yaml(text):
        text = _with_spaces(text)
    return text, meant


def _is_yaml(text: str) -> bool:
    try:
        for _event in yaml.parse(text, YamlLoader):
            pass
    except (yaml.YAMLError, UnicodeEncodeError):
        return False
    return True


def _with_spaces(text: str) -> str:
    lines = text.split("\n")
    parent = -1  # The column that the block of text is indented from, or -1 outside of one.
    text_from = _NO_TEXT
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip(" "))
        if not line.strip(" \t\r"):
            if "\t" in line and indent < text_from:
                lines[number] = line.strip(" \t")
        elif parent >= 0 and indent > parent:
            text_from = min(text_from, indent)
        else:
            if match := _TAB.match(line):
                line = match[0].replace("\t", " ") + line[match.end() :]  # noqa: PLW2901
                lines[number] = line
            parent, text_from = _parent(line) if _BLOCK.search(line[-_TAIL:].rstrip("\r")) else -1, _NO_TEXT
    return "\n".join(lines)


def _parent(line: str) -> int:
    """Return the column of the key, or else of the dash, to which the block of text after ``line`` belongs."""
    match = _PREFIX.match(line)
    prefix = match[0] if match else ""
    return len(prefix.rstrip(" ")) - 1 if line[len(prefix)] in "|>&!" else len(prefix)
