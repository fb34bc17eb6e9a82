"""Reading YAML text: scalars, the places of values, and everything that must be refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.language.issues import Issues
from shared.language.yaml.reader import Document, NumericText, YamlMap, read_yaml
from tests.unit.language.hostile_yaml import ALIAS_BOMB, HOSTILE_YAML


def read(text: str) -> tuple[list[Document], list[str]]:
    issues = Issues()
    documents = read_yaml(text, issues)
    return documents, [str(issue) for issue in issues.found]


def value(text: str) -> Any:
    documents, problems = read(text)
    assert problems == []
    return documents[0].value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("True", True), ("FALSE", False),
        ("010", NumericText("010")), ("1_000", NumericText("1_000")), ("08", "08"), ("_1", "_1"),
        ("12:30", "12:30"), ("2025-01-01", "2025-01-01"), ("0", 0), ("-7", -7),
        ("+7", 7), ("0x1F", 31), ("0o17", 15), ("1.10", 1.1), ("1e3", "1e3"), ("7e9", "7e9"), ("1.5e3", 1500.0),
        ("5e1234", "5e1234"), ("7e-3", "7e-3"), ("1e21", "1e21"), ("1.5e-3", 0.0015), (".5", 0.5),
        ("1.", 1.0), ("~", None),
        ("null", None), ("Null", None), ("''", ""), ("'5'", "5"), ("!!str 5", "5"), ("! 5", "5"), ("1.2.3", "1.2.3"),
        ("0b1", "0b1"), ("-", None), ("e3", "e3"), (".", "."), ("9" * 60, "9" * 60), (".inf", float("inf")),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, expected: object) -> None:
    found = value(f"a: {text}" if text != "-" else "a:")["a"]

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "number"), [("010", 8), ("-0755", -493), ("1_000", 1000), ("+1_0", 10), ("1_", 1), ("0_1", 1)]
)
def test_numeric_text_is_text_and_knows_its_number(text: str, number: int) -> None:
    found = value(f"a: {text}")["a"]

    assert (found, found.number) == (text, number)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: %Y-%m\nb: [%d, x]\nc: {%e: '%'}", {"a": "%Y-%m", "b": ["%d", "x"], "c": {"%e": "%"}}),
        ("a: \x1b[1mbold\x1b[0m\nb: 'c\x85d'", {"a": "\x1b[1mbold\x1b[0m", "b": "c\x85d"}),
        ("# one\u2028line\na: |\n  b\u2028c\n  d", {"a": "b\u2028c\nd"}),
        ("a:\n \t\n  - 'x'\n\t\t \n  - y", {"a": ["x", "y"]}),
        ("a:\r\n \t\r\n  b: |\r\n \t\r\n    c\r\n", {"a": {"b": "\nc\n"}}),
        ("a: |\n    \t\n  b\n  \t\n \t\n  c\nd: e", {"a": "\nb\n\t\n\nc\n", "d": "e"}),
        ("- |\n  a\n  \t\n  b\n- c: >-\n    d\n \t\n  e: f", ["a\n\t\nb\n", {"c": "d", "e": "f"}]),
        ("\t# b\na:\n \t # b\n  - c: |\n      x\n      \t# d\n\t# e\n", {"a": [{"c": "x\n\t# d\n"}]}),
        ("-\ta\n- \tb c\n-\t|\n  -\td\n  \t-\te\n", ["a", "b c", "-\td\n\t-\te\n"]),
        ('a: "b\n \t\n c"', {"a": "b\nc"}),
    ],
)
def test_text_that_only_dagu_can_read_means_the_same(text: str, expected: object) -> None:
    assert value(text) == expected


def test_a_text_in_which_a_character_would_be_mistaken_for_another_is_refused() -> None:
    _, problems = read("a: \U0010f01b \x1b")

    assert any("control characters are not allowed" in problem for problem in problems)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('a: "- x\n  -\ty"', {"a": "- x -\ty"}),
        ("a: x\n  - \ty", {"a": "x - \ty"}),
        ("a:\n  |\n  -\ty\n", {"a": "-\ty\n"}),
        ("a: |2\n    \t\n  y\n", {"a": "  \t\ny\n"}),
    ],
)
def test_a_tab_within_a_text_stays(text: str, meant: object) -> None:
    assert value(text) == meant


def test_a_tag_of_another_program_is_ignored_with_a_warning() -> None:
    issues = Issues()

    (document,) = read_yaml("a: !include x.yaml\nb: !env [1]\n", issues)

    assert document.value == {"a": "x.yaml", "b": [1]}
    assert [(issue.severity, str(issue)) for issue in issues.found] == [
        ("warning", 'line 1, column 4: the YAML tag "!include" is ignored (remove the tag)'),
        ("warning", 'line 2, column 4: the YAML tag "!env" is ignored (remove the tag)'),
    ]


def test_every_key_value_and_item_knows_its_place() -> None:
    mapping = value("a: 1\nlist:\n  - x\n  - {b: 2}\n")

    assert isinstance(mapping, YamlMap)
    assert mapping.key_at == {"a": (1, 1), "list": (2, 1)}
    assert mapping.value_at == {"a": (1, 4), "list": (3, 3)}
    assert mapping["list"].item_at == [(3, 5), (4, 5)]
    assert mapping["list"][1].key_at == {"b": (4, 6)}


def test_documents_are_counted_from_zero_with_the_empty_ones() -> None:
    documents, problems = read("---\n---\na: 1\n---\nb: 2\n")

    assert problems == []
    assert [(document.index, document.value) for document in documents] == [(1, {"a": 1}), (2, {"b": 2})]


def test_aliases_and_merge_keys_are_followed() -> None:
    found = value("base: &b {x: 1, y: 2}\nsame: *b\nmore:\n  <<: *b\n  y: 3\nmany:\n  <<: [*b, {z: 4}]\n")

    assert found["same"] == {"x": 1, "y": 2}
    assert found["more"] == {"x": 1, "y": 3}
    assert found["many"] == {"x": 1, "y": 2, "z": 4}


@pytest.mark.parametrize(("text", "expected"), HOSTILE_YAML)
def test_a_problem_is_reported_with_place_and_hint(text: str, expected: str) -> None:
    _, problems = read(text)

    assert any(expected in problem for problem in problems), problems


def test_an_alias_bomb_is_refused_at_once() -> None:
    _, problems = read(ALIAS_BOMB)

    assert problems == ["line 5, column 10: YAML aliases expand to more than 20000 values"]


def test_aliases_do_not_repeat_a_long_text_too_often() -> None:
    """Each field that splits or checks the text would do so again for each alias."""
    text = f"a: &a {'x' * 500_000}\nb: [&b [*a, *a], *b, *b]\nc: [*b, *b]\n"

    assert read(text)[1] == ["line 3, column 9: YAML aliases expand to more than 4194304 characters"]


def test_documents_before_a_syntax_error_are_kept() -> None:
    documents, problems = read("a: 1\n---\nb: [\n")

    assert [document.value for document in documents] == [{"a": 1}]
    assert len(problems) == 1


_FRAGMENTS = st.sampled_from([
    "steps:\n", "  - ", "- ", "name: a", ": ", "&a ", "*a", "<<: ", "\n", "  ", "'", '"', "{", "}", "[", "]", ",", "?",
    "|\n", ">", "!!int ", "---\n", "...\n", "#", "%", "@", "`", "\t", "\0", "é", "null", "1", "-.inf", "\\", "\ud800",
    "\x1b", "\u2028", " \t\n", "-\t", "\t# ",
])  # fmt: skip


@given(st.lists(_FRAGMENTS, max_size=30).map("".join) | st.text(max_size=80))
def test_no_text_makes_it_raise(text: str) -> None:
    documents, problems = read(text)

    assert isinstance(documents, list)
    assert all(problem and "\n" not in problem.split(": ")[0] for problem in problems)
