"""Stored names say to which workspace something belongs; roles in workspaces."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.representations.audit_json import audit_entry
from services.api.settings import settings_from
from shared.contracts import commands as c
from shared.contracts.base import MESSAGE_TYPES
from shared.contracts.command_names import stored_names, why_foreign
from shared.contracts.dag_scope import DagScope
from shared.errors import ConfigInvalid, InvalidInput
from shared.settings.config import load_config
from shared.store.reads.reader import AuditRow
from shared.workspaces import (
    MARK,
    ForeignName,
    check_length,
    plain_name,
    role_there,
    stored_name,
    valid_workspace,
    workspace_of,
)

WORKSPACES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?", fullmatch=True)
NAMES = st.text(min_size=1).filter(lambda text: MARK not in text)


@given(WORKSPACES, NAMES, WORKSPACES, NAMES)
def test_names_of_two_workspaces_are_never_equal(first: str, name: str, second: str, other: str) -> None:
    stored = stored_name(first, name)

    assert (workspace_of(stored), plain_name(stored)) == (first, name)
    assert stored_name(first, stored) == stored
    assert (stored == stored_name(second, other)) == ((first, name) == (second, other))
    assert stored != stored_name("", other)


@pytest.mark.parametrize("workspace", ["", "acme"])
def test_no_name_reaches_into_another_workspace(workspace: str) -> None:
    with pytest.raises(ForeignName, match="must not contain"):
        stored_name(workspace, f"beta{MARK}etl")


def test_a_name_that_is_too_long_with_its_workspace_is_refused() -> None:
    check_length(stored_name("acme", "n" * 95), 100, "pool")
    check_length("n" * 100, 100, "pool")
    with pytest.raises(InvalidInput, match="^pool: a name in the workspace acme must have at most 95 characters"):
        check_length(stored_name("acme", "n" * 96), 100, "pool")
    with pytest.raises(InvalidInput, match="^queue: a name must have at most 200 characters"):
        check_length("n" * 201, 200, "queue")


def test_which_workspaces_there_can_be() -> None:
    assert [name for name in ("a", "a-1", "team-data") if not valid_workspace(name)] == []
    assert [name for name in ("", "A", "a_b", "-a", "a-", "a" * 31, "default", "all", "none", f"a{MARK}b")
            if valid_workspace(name)] == []  # fmt: skip


def test_a_role_holds_where_it_was_given() -> None:
    assert role_there("", "viewer") == "viewer"
    assert role_there("acme", "manager") == ""
    assert role_there("acme", "viewer", member="operator") == "operator"
    # An administrator of the server is one everywhere, that of a workspace is not.
    assert role_there("acme", "admin") == "admin"
    assert role_there("acme", "admin", home="acme") == "admin"
    assert role_there("beta", "admin", home="acme") == ""
    assert role_there("", "admin", home="acme") == ""


@pytest.mark.parametrize(
    "command",
    [
        c.DeleteDag(file_name="beta␟etl"),
        c.RenameDag(file_name="acme␟etl", new_file_name="beta␟etl"),
        c.StartRun(file_name="acme␟etl", dag_run_id="r", dag_name="beta␟etl"),
        c.EnqueueRun(file_name="acme␟etl", dag_run_id="r", queue="q"),
        c.StartInline(spec="", dag_run_id="r", dag_name="acme␟etl", queue="beta␟q"),
        c.StopRun(dag_name="etl", dag_run_id="r"),
        c.RescheduleRun(dag_name="acme␟etl", dag_run_id="r", new_run_id="n", new_dag_name="beta␟etl"),
        c.ApproveStep(dag_name="beta␟etl", dag_run_id="r", step_name="s"),
        c.SetQueue(name="beta␟q", max_concurrency=1),
        c.SetPool(name="p", capacity=1),
        c.SetPause(scope="dag", name="beta␟etl"),
        c.SetPause(scope="global"),
        c.DeleteSecret(name="token"),
        c.ResealSecrets(secrets=(c.ResealedSecret(name="beta␟s", replaces="x", sealed="y"),)),
        c.UpdateApiKey(key_id="k", name="beta␟ci"),
        c.DeleteWebhook(file_name="beta␟etl"),
        c.DeleteUser(user_id="u"),
        c.DeleteWorkspace(name="acme"),
    ],
    ids=lambda command: command.type,
)
def test_a_command_stays_in_its_workspace(command: c.Command) -> None:
    assert why_foreign(command.model_copy(update={"workspace": "acme"}))


def test_a_command_of_the_default_workspace_names_no_other() -> None:
    assert why_foreign(c.SetPause(scope="global")) == ""
    assert why_foreign(c.DeleteDag(file_name="etl")) == ""
    assert "'acme␟etl' is not a name in the default workspace" in why_foreign(c.DeleteDag(file_name="acme␟etl"))
    assert why_foreign(c.DeleteDag(file_name="acme␟etl", workspace="acme")) == ""


def test_a_name_with_a_second_mark_belongs_to_no_workspace() -> None:
    """Its first part would say one workspace, its last part another name."""
    command = c.DeleteDag(file_name="acme␟beta␟etl", workspace="acme")
    assert "'acme␟beta␟etl' is not a name in the workspace acme" in why_foreign(command)


@pytest.mark.parametrize("field", ["auth_admin_username", "auth_basic_username"])
def test_a_username_in_the_settings_is_no_stored_name(field: str) -> None:
    given = {field: "acme␟ann"} | ({"auth_basic_password": "p"} if field == "auth_basic_username" else {})
    variable = f"DAGWAY_{field.upper()}"
    with pytest.raises(ConfigInvalid, match=f"^{variable}: 'acme␟ann' must not contain the character ␟"):
        settings_from(load_config(given, {}))


def test_the_name_of_a_failed_login_is_shown_in_no_workspace() -> None:
    facts: dict[str, Any] = dict.fromkeys(AuditRow._fields, "")
    facts |= {"at": datetime.now(UTC), "target_kind": "user", "target_name": "acme␟ann"}
    row = AuditRow(**facts)
    assert audit_entry(row)["target"] == {"kind": "user", "name": "acme ann"}
    assert audit_entry(row._replace(target_kind="dag"))["target"]["workspace"] == "acme"


def test_every_name_in_a_command_is_checked() -> None:
    """A field with such a name is a stored name, whatever command a later version adds it to."""
    fields = ("file_name", "new_file_name", "dag_name", "new_dag_name", "queue")
    commands = [each for each in MESSAGE_TYPES.values() if issubclass(each, c.Command)]
    named = [(each, field) for each in commands for field in fields if field in each.model_fields]

    assert len(named) > 20
    for command, field in named:
        values: dict[str, Any] = {name: None for name in fields if name in command.model_fields} | {field: "beta␟x"}
        assert "beta␟x" in stored_names(command.model_construct(**values)), (command, field)


def test_the_patterns_of_a_key_are_of_plain_names() -> None:
    assert DagScope(("etl-*",)).outside(["acme␟etl-1", "etl-2"]) == ""
    assert DagScope(("etl-*",)).outside(["acme␟other"]) == "acme␟other"
