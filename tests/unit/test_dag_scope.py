"""Patterns of DAG names, and the names that each command uses."""

import pytest

from shared.contracts import commands as c
from shared.contracts.commands.permissions import MINIMUM_ROLE
from shared.contracts.dag_scope import DagScope, dag_names, valid_pattern, why_out_of_scope
from tests.harness.message_examples import example_of

ETL = DagScope(("etl-*", "load?"))
FACTS = {
    "file_name": "file",
    "dag_name": "dag",
    "new_file_name": "new-file",
    "new_dag_name": "new-dag",
    "scope": "dag",
    "name": "named",
}
NAMED = {
    c.RenameDag: ("file", "new-file"),
    c.StartRun: ("file", "dag"),
    c.EnqueueRun: ("file", "dag"),
    c.RescheduleRun: ("dag", "new-dag"),
    c.SetPause: ("named",),
    c.EndPause: ("named",),
}


@pytest.mark.parametrize(
    ("names", "outside"),
    [
        (["etl-a", "load1"], ""),
        (["etl-"], ""),
        (["etl-a", "payroll"], "payroll"),
        (["load10"], "load10"),
        (["ETL-a"], "ETL-a"),
        (["my-etl-a"], "my-etl-a"),
    ],
)
def test_each_name_must_match_a_pattern(names: list[str], outside: str) -> None:
    assert ETL.outside(names) == outside


def test_without_patterns_everything_is_in_scope() -> None:
    assert DagScope.parse("").outside(["payroll"]) == ""
    assert why_out_of_scope("apikey:ci", DagScope(), ()) == ""


def test_a_scope_is_what_was_stored() -> None:
    assert DagScope.parse(str(ETL)) == ETL


def test_what_is_about_more_than_named_dags_is_out_of_scope() -> None:
    assert "not about one DAG" in why_out_of_scope("apikey:ci", ETL, ())


@pytest.mark.parametrize("text", ["", " ", "a b", "a/b", "a\n", "[a]", "x" * 41, "ä"])
def test_patterns_consist_of_characters_of_names(text: str) -> None:
    assert not valid_pattern(text)


@pytest.mark.parametrize("cls", MINIMUM_ROLE, ids=lambda cls: cls.type)
def test_every_name_of_a_dag_in_a_command_is_checked(cls: type[c.Command]) -> None:
    command = example_of(cls, FACTS)
    assert isinstance(command, c.Command)

    found = dag_names(command)

    if issubclass(cls, c.StartInline):
        assert found == ()
    else:
        fields = ("file_name", "dag_name", "new_file_name", "new_dag_name")
        assert found == NAMED.get(cls, tuple(getattr(command, name) for name in fields if hasattr(command, name)))
        # A field that a later release adds must get a decision here.
        assert {name for name in cls.model_fields if name.endswith(("file_name", "dag_name"))} <= set(fields)
