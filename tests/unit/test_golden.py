"""Processes of the last release and of this version run side by side: their messages and their database fit.

``tests/golden`` has the messages, tables and stored words of the last release; before the first one, those of an
earlier day. Each release records its own: ``python -m tests.golden``.
"""

import re
from pathlib import Path

import pytest
from sqlalchemy import String

from shared.settings.options import OPTIONS
from shared.store import tables as t
from tests.golden.code import record_code, unpack_code
from tests.golden.noted import MESSAGES, SCHEMA, WORDS, current_messages, current_schema
from tests.golden.shapes import message_problems, table_problems
from tests.golden.words import COLUMNS, ELSEWHERE, NO_WORDS, word_lines, word_problems

LONGEST_WORD = 24
"""A column of texts that cannot be longer holds words, unless ``NO_WORDS`` has it."""


def test_messages_are_understood_by_the_last_release_and_those_of_it_by_this_version() -> None:
    assert message_problems(MESSAGES.read_text().splitlines(), current_messages()) == []


def test_the_last_release_works_on_the_schema_of_this_version() -> None:
    assert table_problems(SCHEMA.read_text().splitlines(), current_schema()) == []


def test_each_version_knows_the_words_that_the_other_stores() -> None:
    assert word_problems(WORDS.read_text().splitlines(), word_lines()) == [], "see ALLOWED in tests/golden/words.py"


def test_the_page_on_upgrades_names_every_setting_of_the_last_release_that_is_gone(tmp_path: Path) -> None:
    tables = unpack_code(tmp_path / "released").rglob("*options.py")
    released = {name for table in tables for name in re.findall(r'"(DAGWAY_\w+)"', table.read_text())}
    page = (Path(__file__).parents[2] / "docs/operations/upgrade.md").read_text()

    assert len(released) > len(OPTIONS) / 2
    # A service refuses to start with a variable that it does not know.
    assert {name for name in released - {option.env for option in OPTIONS} if f"`{name}`" not in page} == set()


def test_every_column_of_words_is_compared() -> None:
    short = {
        f"{table.name}.{column.name}"
        for table in t.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, String) and (column.type.length or 99) <= LONGEST_WORD
    }

    assert short - set(COLUMNS) == ELSEWHERE | NO_WORDS


def test_a_word_that_one_version_does_not_know_is_found() -> None:
    before = ["nodes.status running", "nodes.status waiting"]
    renamed = ["nodes.status awaiting", "nodes.status running", "new.column word"]

    assert word_problems(before, renamed) == [
        "nodes.status waiting: the earlier version stores this word, and it is gone",
        "nodes.status awaiting: the earlier version does not know this word",
    ]


MESSAGE = [
    "m  required object",
    "m a required string",
    "m b optional integer",
    "m p optional object",
    "m p.q required string",
]
BAD_MESSAGES = {
    "a message that is gone": [],
    "a required field that is gone": [line for line in MESSAGE if " a " not in line],
    "another type": [line.replace("integer", "string") for line in MESSAGE],
    "a field that became required": [line.replace("b optional", "b required") for line in MESSAGE],
    "a new field that is required": [*MESSAGE, "m c required string"],
    "a new field of a part that is required": [*MESSAGE, "m p.r required string"],
}
GOOD_MESSAGES = {
    "the same": MESSAGE,
    "an optional field that is gone": [line for line in MESSAGE if " b " not in line],
    "a new field with a default": [*MESSAGE, "m c optional string"],
    "a new part, with fields that it needs": [*MESSAGE, "m n optional object", "m n.x required string"],
    "a new message": [*MESSAGE, "n  required object", "n a required string"],
}


@pytest.mark.parametrize("now", BAD_MESSAGES.values(), ids=BAD_MESSAGES)
def test_a_message_that_the_other_version_cannot_read_is_found(now: list[str]) -> None:
    assert message_problems(MESSAGE, now) != []


@pytest.mark.parametrize("now", GOOD_MESSAGES.values(), ids=GOOD_MESSAGES)
def test_a_message_may_grow(now: list[str]) -> None:
    assert message_problems(MESSAGE, now) == []


TABLE = ["t.a must be given Text()", "t.b may be left out Integer()"]
BAD_TABLES = {
    "a column that is gone": TABLE[:1],
    "another type": [TABLE[0], "t.b may be left out Text()"],
    "a column without its default": [TABLE[0], "t.b must be given Integer()"],
    "a new column without a default": [*TABLE, "t.c must be given Text()"],
}


@pytest.mark.parametrize("now", BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_schema_that_the_last_release_cannot_use_is_found(now: list[str]) -> None:
    assert table_problems(TABLE, now) != []


def test_a_schema_may_grow() -> None:
    assert table_problems(TABLE, [*TABLE, "t.c may be left out Text()", "u.a must be given Text()"]) == []


def test_the_code_of_a_release_is_recorded_without_what_is_built(tmp_path: Path) -> None:
    root, archive = tmp_path / "root", tmp_path / "code.tar.xz"
    wanted = {"shared/a.py": "a", "services/api/web/page.js": "p"}
    built = {"services/api/web/built/page.js": "b", "shared/__pycache__/a.pyc": "c", "tests/test_a.py": "t"}
    for name, text in {**wanted, **built, "pyproject.toml": '[project]\nversion = "1.2.3"\n'}.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    record_code(root, archive)
    code = unpack_code(tmp_path / "code", archive)

    found = {file.relative_to(code).as_posix(): file.read_text() for file in code.rglob("*") if file.is_file()}
    assert "Version: 1.2.3\n" in found.pop("dagway-1.2.3.dist-info/METADATA")
    assert found == wanted
    before = archive.read_bytes()
    record_code(root, archive)
    assert archive.read_bytes() == before
