"""The previous version works on the schema of each revision: a revision only adds, and with defaults."""

import ast

import pytest

from shared.store.migrate import SCRIPTS

_REVISIONS = sorted((SCRIPTS / "versions").glob("r*.py"))
_BREAKING = {"drop_table", "drop_column", "rename_table", "alter_column"}


def _calls(path: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path)) if isinstance(node, ast.Call)]


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


@pytest.mark.parametrize("text", [path.read_text() for path in _REVISIONS], ids=[path.stem for path in _REVISIONS])
def test_an_older_program_can_write_to_what_a_revision_made(text: str) -> None:
    for call in _calls(text):
        assert _name(call) not in _BREAKING, ast.unparse(call)
        if _name(call) == "add_column":
            column = next(each for each in call.args if isinstance(each, ast.Call))
            words = {word.arg: ast.unparse(word.value) for word in column.keywords}
            assert words.get("nullable") != "False" or "server_default" in words, ast.unparse(call)


def test_a_revision_that_an_older_program_could_not_bear_is_found() -> None:
    bad = 'op.add_column("t", sa.Column("c", sa.Text(), nullable=False))'

    with pytest.raises(AssertionError):
        test_an_older_program_can_write_to_what_a_revision_made(bad)
