"""The previous version works on the schema of each revision: a revision only adds, and with defaults."""

import ast
import re
from pathlib import Path

import pytest

from shared.store.migrate import SCRIPTS

_REVISIONS = sorted((SCRIPTS / "versions").glob("r*.py"))
_LARGE = {"dag_runs", "nodes", "attempts", "executions", "transitions", "log_chunks", "audit", "audit_links", "inbox"}
_BREAKING = {"drop_table", "drop_column", "rename_table", "alter_column"}
_NARROWING = {"create_check_constraint", "create_unique_constraint", "create_foreign_key", "create_exclude_constraint"}
"""Calls after which rows may be refused that an older program inserts."""
_BREAKING_SQL = re.compile(
    r"\b(DROP (TABLE|COLUMN)|RENAME (TO|COLUMN)|SET NOT NULL|ALTER COLUMN \S+ TYPE"
    r"|ADD (CONSTRAINT|CHECK|UNIQUE|FOREIGN))\b",
    re.IGNORECASE,
)
_CHANGING = {"update", "delete", "merge"}
_CHANGING_SQL = re.compile(
    r"\b(UPDATE\s+(ONLY\s+)?\S+\s+((AS\s+)?\w+\s+)?SET|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE)\b", re.IGNORECASE
)
_CHANGE_WHAT_IS_STORED = {
    "0035": "it defines a function that deletes; it deletes nothing itself",
}
"""Revisions and why the previous version can read what is stored after them."""


def _calls(path: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse(path)) if isinstance(node, ast.Call)]


def _name(call: ast.Call) -> str:
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


@pytest.mark.parametrize("text", [path.read_text() for path in _REVISIONS], ids=[path.stem for path in _REVISIONS])
def test_an_older_program_can_write_to_what_a_revision_made(text: str) -> None:
    assert not _BREAKING_SQL.search(text)
    for call in _calls(text):
        assert _name(call) not in _BREAKING | _NARROWING, ast.unparse(call)
        if _name(call) == "add_column":
            column = next(each for each in call.args if isinstance(each, ast.Call))
            words = {word.arg: ast.unparse(word.value) for word in column.keywords}
            assert words.get("nullable") != "False" or "server_default" in words, ast.unparse(call)


@pytest.mark.parametrize(
    "bad",
    [
        'op.add_column("t", sa.Column("c", sa.Text(), nullable=False))',
        'op.create_unique_constraint("uq", "t", ["c"])',
        'op.execute("ALTER TABLE t ALTER COLUMN c SET NOT NULL")',
        'op.execute("ALTER TABLE t DROP COLUMN c")',
    ],
)
def test_a_revision_that_an_older_program_could_not_bear_is_found(bad: str) -> None:
    with pytest.raises(AssertionError):
        test_an_older_program_can_write_to_what_a_revision_made(bad)


def _changes_what_is_stored(text: str) -> bool:
    called = {_name(call) for call in _calls(text)}
    return _CHANGING_SQL.search(text) is not None or not called.isdisjoint(_CHANGING)


@pytest.mark.parametrize("path", _REVISIONS, ids=[path.stem for path in _REVISIONS])
def test_a_revision_leaves_alone_what_an_older_program_reads(path: Path) -> None:
    """Rows and words that it changes are read by the previous version too, which runs on until it is replaced."""
    changes, reason = _changes_what_is_stored(path.read_text()), _CHANGE_WHAT_IS_STORED.get(path.stem[1:5])

    assert changes == bool(reason), "say in _CHANGE_WHAT_IS_STORED why the previous version can read the changed rows"


@pytest.mark.parametrize(
    "bad",
    [
        "op.execute(\"UPDATE nodes SET status = 'done' WHERE status = 'succeeded'\")",
        'op.execute("""update dag_runs\n  set status = \'done\'""")',
        "op.execute(nodes.update().values(status='done'))",
        "op.execute(sa.update(nodes).values(status='done'))",
        'op.execute("DELETE FROM timers")',
        "op.execute(\"UPDATE nodes AS n SET status = 'done' FROM dag_runs r WHERE r.run_key = n.run_key\")",
        "op.execute(f\"UPDATE {table} SET status = 'done'\")",
        "from sqlalchemy import update\nop.execute(update(nodes).values(status='done'))",
    ],
)
def test_a_revision_that_changes_what_is_stored_is_found(bad: str) -> None:
    assert _changes_what_is_stored(bad)


def _locking_indexes(text: str) -> list[str]:
    """Return the calls that create an index of a large table that the same revision does not create."""
    calls = _calls(text)
    new = {ast.literal_eval(call.args[0]) for call in calls if _name(call) == "create_table"}
    made = [call for call in calls if _name(call) == "create_index"]
    return [ast.unparse(call) for call in made if ast.literal_eval(call.args[1]) in _LARGE - new]


@pytest.mark.parametrize("path", _REVISIONS, ids=[path.stem for path in _REVISIONS])
def test_no_writer_waits_while_a_large_table_gets_an_index(path: Path) -> None:
    assert not _locking_indexes(path.read_text()), "use create_index_online"


def test_an_index_that_locks_a_large_table_is_found() -> None:
    assert _locking_indexes('op.create_index("ix", "nodes", ["name"])')
    assert not _locking_indexes('op.create_table("nodes")\nop.create_index("ix", "nodes", ["name"])')
