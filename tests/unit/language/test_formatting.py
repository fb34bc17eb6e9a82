"""Formatting changes indentation and blank lines only, and what a file means never."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.language.formatting import NotFormatted, formatted
from shared.language.issues import Issues
from shared.language.yaml.reader import read_yaml

ROOT = Path(__file__).parents[3]
MESSY = """

# about the file


steps:
- name: a   # first
  command:   echo "x"


  # before env
  env:
      - A: 1
      # last of env
- name:  b
  script: |
        one
          two

        three
  depends: [a,
     c]
-   call: c
    params: >-
       x
       y
# the end
---
name: c
tags:
  -   - x
      - "y
         z"
handlerOn:
    exit:
        command: bye


"""
TIDY = """# about the file

steps:
  - name: a   # first
    command:   echo "x"

    # before env
    env:
      - A: 1
      # last of env
  - name:  b
    script: |
      one
        two

      three
    depends: [a,
       c]
  - call: c
    params: >-
      x
      y
# the end
---
name: c
tags:
  - - x
    - "y
       z"
handlerOn:
  exit:
    command: bye
"""


def test_a_messy_file_becomes_tidy_and_keeps_its_comments() -> None:
    assert formatted(MESSY) == TIDY


@pytest.mark.parametrize("path", sorted((ROOT / "examples").rglob("*.yaml")), ids=lambda path: path.stem)
def test_the_examples_are_formatted(path: Path) -> None:
    assert formatted(path.read_text()) == path.read_text()


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("", ""),
        ("\n\n", ""),
        ("# only\n\n\n# comments", "# only\n\n# comments\n"),
        ("steps: [a]", "steps: [a]\n"),
        ("a: |2\n    x\n", "a: |2\n    x\n"),
        ("a: |+\n   x\n\n\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n"),
        ("steps:\n    - |\n     x\n", "steps:\n  - |\n    x\n"),
        ("a: &x\n    b: 1\nc: *x\nd:\n- &y\n    e: 1\n- *y\n", "a: &x\n  b: 1\nc: *x\nd:\n  - &y\n    e: 1\n  - *y\n"),
        ("a: &x\n- b\nc:\n-\n    d: *x\n", "a: &x\n  - b\nc:\n  -\n    d: *x\n"),
        ("a:\n- b\n# about c\n- c\n# end\n", "a:\n  - b\n  # about c\n  - c\n# end\n"),
        ("a:\n-   # why\n    b: 1\n", "a:\n  - # why\n    b: 1\n"),
        ("a:\n      'x\n       y'\n", "a:\n  'x\n   y'\n"),
        ("a: 1\rb:\r- x\r\n", "a: 1\nb:\n  - x\n"),
        ("{a: 1,\n   b: 2}\n", "{a: 1,\n   b: 2}\n"),
    ],
)
def test_other_texts(text: str, made: str) -> None:
    assert formatted(text) == made


@pytest.mark.parametrize("text", ["a: [", "a: 1\na: 2\n", "\ta: 1", "a: *b"])
def test_a_faulty_file_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(NotFormatted, match="line 1, |line 2, "):
        formatted(text)


_WORDS = st.sampled_from(["a", "b c", "'q'", '"d: e"', "[x, y]", "|\n{}    t\n\n{}      u", "&n v"])


@st.composite
def _documents(draw: st.DrawFn, column: int = 0, depth: int = 0) -> str:
    """Draw a map in block style with any indentation, comments and blank lines."""
    lines = []
    step = draw(st.integers(1, 5))
    for number in range(draw(st.integers(1, 3))):
        lines.append(draw(st.sampled_from(["", "\n", f"{' ' * column}# note\n", "# far left\n"])))
        key = f"{' ' * column}k{number}:"
        kind = draw(st.sampled_from(["word", "map", "list"])) if depth < 3 else "word"
        if kind == "map":
            lines.append(f"{key}\n{draw(_documents(column + step, depth + 1))}")
        elif kind == "list":
            dash = " " * (column + draw(st.integers(0, 3)))
            gap = draw(st.integers(1, 3))
            item = draw(_documents(len(dash) + 1 + gap, depth + 1)).lstrip("\n ")
            lines.append(f"{key}\n{dash}- x\n{dash}-{' ' * gap}{item}" if not item.startswith("#") else f"{key} 1\n")
        else:
            lines.append(f"{key} {draw(_WORDS).replace('{}', ' ' * column)}\n")
    return "".join(lines)


def _values(text: str) -> list[object]:
    return [each.value for each in read_yaml(text, Issues())]


@settings(max_examples=60, deadline=None)
@given(_documents())
def test_any_map_keeps_its_meaning_and_comments_and_is_formatted_once(text: str) -> None:
    try:
        made = formatted(text)
    except NotFormatted:
        assert "&n" in text, text  # the same anchor twice, or in a place where it ends nowhere
        return
    assert _values(made) == _values(text)
    assert made.count("#") == text.count("#")
    assert formatted(made) == made
