"""Format the text of a workflow file: indentation and blank lines, and nothing else.

Only the spaces at the beginning of lines, those after a dash, and blank lines change. So comments, quotes, the order of
keys and the breaks of long lines stay as the author wrote them. What the file means is compared before and after.
"""

import itertools
import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from shared.language.issues import Issues
from shared.language.yaml.readable import readable
from shared.language.yaml.reader import read_yaml

__all__ = ["NotFormatted", "formatted"]

_INDENT = 2
_LINE_END = re.compile(r"\r\n?|\n")
"""As YAML has it."""
_AFTER_DASH = re.compile(r"-( +)(?=\S)")
_LARGEST = 256 * 1024
"""Characters. The scanner that knows the places of all values is slow."""


class NotFormatted(ValueError):
    """The text is not valid YAML, or cannot be formatted without changing what it means."""


@dataclass(slots=True)
class _Layout:
    """Where the lines of a text go.

    - ``columns``: the old and the new column of each line on which a key, an item or a document begins.
    - ``moved``: how far each line inside of a value of several lines moves. Its spaces and blank lines are part of it.
    - ``placed``: the values that have a place. An alias is its anchor's value, which has the anchor's place.
    """

    columns: dict[int, tuple[int, int]] = field(default_factory=dict)
    moved: dict[int, int] = field(default_factory=dict)
    placed: set[int] = field(default_factory=set)


def formatted(text: str) -> str:
    """Return ``text`` with two spaces for each level, also for lists in maps, and at most one blank line in a row.

    Raises:
        NotFormatted: see there.
    """
    if len(text) > _LARGEST:
        raise NotFormatted(f"the file is larger than {_LARGEST} characters")
    meant = _meaning(text)
    lines = _LINE_END.split(text)
    layout = _Layout()
    try:
        for node in yaml.compose_all(readable(text)[0], Loader=yaml.SafeLoader):
            if node is not None:
                _place(node, 0, lines, layout)
    except yaml.YAMLError as error:
        raise NotFormatted(f"invalid YAML: {error}") from error
    made = "\n".join(_without_blank_lines(_written(lines, layout)))
    made = made + "\n" if made else made
    if _meaning(made) != meant:
        raise NotFormatted("formatting would change what the file means")
    return made


def _meaning(text: str) -> Any:
    issues = Issues()
    values = [(each.index, each.value) for each in read_yaml(text, issues)]
    if issues.found:
        raise NotFormatted(str(issues.found[0]))
    return repr(values)


def _place(node: yaml.Node, column: int, lines: list[str], layout: _Layout) -> None:
    """Give the lines of a block map or list, which begins at the new ``column``, their places."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        for key, value in node.value:
            layout.columns.setdefault(key.start_mark.line, (key.start_mark.column, column))
            if not _is_placed(value, layout):
                _place_value(value, key, column, lines, layout)
    elif isinstance(node, yaml.SequenceNode) and not node.flow_style:
        for item in node.value:
            if not _is_placed(item, layout):
                _place_item(item, column, lines, layout)
    else:
        layout.columns.setdefault(node.start_mark.line, (_indent(lines[node.start_mark.line]), column))
        _move(node, column - node.start_mark.column, column, lines, layout)


def _is_placed(node: yaml.Node, layout: _Layout) -> bool:
    known = id(node) in layout.placed
    layout.placed.add(id(node))
    return known


def _is_block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _place_value(value: yaml.Node, key: yaml.Node, column: int, lines: list[str], layout: _Layout) -> None:
    if _is_block(value) or value.start_mark.line > key.end_mark.line:
        _place(value, column + _INDENT, lines, layout)
    else:
        _move(value, column - key.start_mark.column, column, lines, layout)


def _place_item(item: yaml.Node, column: int, lines: list[str], layout: _Layout) -> None:
    dash, old = _dash_of(item, lines)
    layout.columns.setdefault(dash, (old, column))
    if _is_block(item) or item.start_mark.line > dash:
        _place(item, column + _INDENT, lines, layout)
    else:
        _move(item, column - old, column, lines, layout)


def _dash_of(item: yaml.Node, lines: list[str]) -> tuple[int, int]:
    """Return the line and the column of the dash before an item."""
    line = item.start_mark.line
    before = lines[line][: item.start_mark.column].rstrip()
    while not before.endswith("-") and line > 0:
        line -= 1
        before = lines[line].partition(" #")[0].rstrip()
    return line, len(before) - 1


def _move(node: yaml.Node, by: int, column: int, lines: list[str], layout: _Layout) -> None:
    """Move the later lines of a value of several lines as far as the line on which its key or dash stands.

    The text of a block scalar gets the indentation of a level, unless the author has written how far it is indented.
    """
    first, last = node.start_mark.line, node.end_mark.line
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        last -= node.end_mark.column == 0
        header = lines[first][node.start_mark.column :].partition(" #")[0]
        inner = [_indent(lines[at]) for at in range(first + 1, last + 1) if lines[at].strip()]
        if inner and not re.search(r"\d", header):
            by = column + _INDENT - min(inner)
    for at in range(first + 1, last + 1):
        layout.moved[at] = by


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _written(lines: list[str], layout: _Layout) -> Iterator[str | None]:
    """Yield the lines at their new places; ``None`` for a blank line that is not part of a value."""
    begun = sorted(layout.columns)
    for at, line in enumerate(lines):
        if at in layout.moved:
            yield " " * max(_indent(line) + layout.moved[at], 0) + line.lstrip(" ") if line.strip() else line
        elif not line.strip():
            yield None
        elif at in layout.columns:
            old, new = layout.columns[at]
            yield (" " * new + _one_space_after_dashes(line[old:])).rstrip()
        else:
            place = bisect(begun, at)
            after = layout.columns[begun[place]] if place < len(begun) else None
            before = (layout.columns[begun[each]] for each in range(place - 1, -1, -1))
            own = line.strip(" ")
            at_margin = own.startswith("#") and own == line
            column = _other_column(_indent(line), after, before, stays=at_margin)
            yield (" " * column + _one_space_after_dashes(own)).rstrip()


def _one_space_after_dashes(text: str) -> str:
    """Return a line whose items, also those of lists in lists, have one space after the dash."""
    dashes = ""
    while (match := _AFTER_DASH.match(text)) is not None:
        dashes, text = f"{dashes}- ", text[match.end() :]
    return dashes + text


def _other_column(old: int, after: tuple[int, int] | None, before: Iterator[tuple[int, int]], *, stays: bool) -> int:
    """Return the new column of a comment, or of an item that is an alias.

    It is that of the next line, or of the nearest line before, if it was at the same column. ``after`` and ``before``
    are the old and new columns of these lines, the nearest first. ``stays``: if the next line was not there, it stays.
    """
    if after is not None and after[0] == old:
        return after[1]
    if stays:
        return old
    last = next(before, None)
    for candidate in itertools.chain([last] if last else [], before):
        if candidate[0] == old:
            return candidate[1]
    near = after or last or (0, 0)
    return max(old + near[1] - near[0], 0)


def _without_blank_lines(lines: Iterator[str | None]) -> Iterator[str]:
    """Yield the lines with at most one blank line in a row, and none at both ends."""
    blank, begun = False, False
    for line in lines:
        if line is None:
            blank = begun
        else:
            if blank:
                yield ""
            yield line
            blank, begun = False, True
