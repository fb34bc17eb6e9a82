"""Postgres shows the gateway's user the rows of one workspace only, whatever its statements say (ADR 58)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Boolean, Column, Engine, LargeBinary, String, Table, insert, select, text

from shared.errors import StoreUnavailable
from shared.store import tables as t
from shared.store.engine import one_statement, open_engine, transaction
from shared.store.tables import UTCDateTime, metadata
from shared.store.workspace_scope import of_every_workspace, of_workspace
from shared.workspaces import DEFAULT, stored_name
from tests.harness.databases import role_url
from tests.harness.servers import PostgresServer

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 27, tzinfo=UTC)
WORKSPACES = (DEFAULT, "acme", "beta")
WITHOUT_POLICY = {
    "audit_links": "hashes",
    "audit_start": "a hash",
    "audit_unlinked": "ids of audit entries",
    "counters": "one number for the whole server",
    "ended_logins": "ids of login tokens; users belong to the server",
    "login_failures": "hashes of addresses and usernames; users belong to the server",
    "reserved_worker_pools": "a run must see that its worker pool serves other workspaces only",
    "run_totals_mark": "one mark for the whole server",
    "services": "schedulers serve every workspace",
    "users": "users belong to the server; a request is let in before its workspace is known",
    "workers": "workers serve every workspace",
}
OF_SERVER = {"audit", "dead_letters", "outbox"}
"""Tables whose rows belong to the whole server: a transaction for a named workspace finds none."""
NAMED = {"command_id", "dag_name", "file_name", "name", "path"}
"""Columns that have stored names, except in the tables of workspaces."""
Rows = dict[str, dict[str, tuple[Any, ...]]]
"""The keys of the rows of each table, by workspace."""


def _value(table: Table, column: Column[Any], workspace: str, number: int) -> Any:
    label = workspace or "default"
    if table in {t.workspaces, t.workspace_members, t.workspace_logs} and column.name in {"name", "workspace"}:
        return label
    if column.name in NAMED:
        return stored_name(workspace, "etl")
    if column.name == "scope":
        return "dag"
    if isinstance(column.type, UTCDateTime):
        return NOW
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, LargeBinary):
        return b"x"
    if isinstance(column.type, String):
        # Foreign keys have these endings.
        end = next((end for end in ("run_key", "hash", "id") if column.name.endswith(end)), column.name)
        return f"{end}-{label}"[: column.type.length]
    return bool(number) if isinstance(column.type, Boolean) else number


def _fill(engine: Engine) -> Rows:
    """Insert a row of each workspace into each table. They refer to each other by equal ids."""
    found: Rows = {}
    with transaction(engine) as connection:
        for table in metadata.sorted_tables:
            if table in {t.counters, t.run_totals_mark}:
                continue
            for number, workspace in enumerate(WORKSPACES, 1):
                needed = [column for column in table.columns if not column.nullable]
                row = {column.name: _value(table, column, workspace, number) for column in needed}
                connection.execute(insert(table).values(row))
                key = tuple(row[column.name] for column in table.primary_key)
                found.setdefault(table.name, {})[workspace] = key
    return found


@pytest.fixture(scope="module")
def url(_postgres: PostgresServer) -> str:
    """The superuser's URL of a database with rows of each workspace in each table."""
    return _postgres.create_migrated_database()


@pytest.fixture(scope="module")
def rows(url: str) -> Rows:
    engine = open_engine(url)
    try:
        return _fill(engine)
    finally:
        engine.dispose()


def _engine_of(url: str, *roles: str) -> Engine:
    return open_engine(role_url(url, *roles), read_only=True)


@pytest.fixture(scope="module")
def gateway(url: str) -> Iterator[Engine]:
    """An engine of the gateway's user, whose transactions name no workspace."""
    engine = _engine_of(url, "dagway_api")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def scheduler(url: str) -> Iterator[Engine]:
    """An engine of the scheduler's user."""
    engine = _engine_of(url, "dagway_scheduler")
    yield engine
    engine.dispose()


def _seen(engine: Engine, table: str) -> set[tuple[Any, ...]]:
    """Return the keys of the rows that a statement without a condition finds."""
    with one_statement(engine) as connection:
        return {tuple(row) for row in connection.execute(select(*metadata.tables[table].primary_key))}


def test_the_decision_lists_every_table() -> None:
    listed = (ROOT / "docs/adr/0058-postgres-hides-other-workspaces.md").read_text()
    assert [name for name in metadata.tables if f"`{name}`" not in listed] == []


def test_each_table_has_a_policy_or_a_reason_for_none(url: str) -> None:
    engine = open_engine(url)
    with one_statement(engine) as connection:
        limited = connection.exec_driver_sql(
            "SELECT c.relname FROM pg_class c JOIN pg_policy p ON p.polrelid = c.oid "
            "WHERE c.relrowsecurity AND NOT p.polpermissive AND p.polroles = ARRAY['dagway_api'::regrole::oid]"
        ).scalars()
        assert {*limited} == {*metadata.tables} - {*WITHOUT_POLICY}
    engine.dispose()


@pytest.mark.parametrize("workspace", WORKSPACES)
def test_a_statement_without_a_condition_finds_one_workspace(gateway: Engine, rows: Rows, workspace: str) -> None:
    engine = of_workspace(gateway, workspace)
    for table, keys in rows.items():
        visible = {keys[workspace]}
        if table in WITHOUT_POLICY or (table in OF_SERVER and workspace == DEFAULT):
            visible = set(keys.values())
        elif table in OF_SERVER:
            visible = set()
        assert _seen(engine, table) == visible, table


def test_who_names_no_workspace_sees_what_gateways_without_workspaces_know(gateway: Engine, rows: Rows) -> None:
    for table in rows:
        assert _seen(gateway, table) == _seen(of_workspace(gateway, DEFAULT), table), table


def test_who_asks_for_every_workspace_and_schedulers_see_all(gateway: Engine, scheduler: Engine, rows: Rows) -> None:
    for engine in (of_every_workspace(gateway), scheduler, of_workspace(scheduler, "acme")):
        for table, keys in rows.items():
            assert _seen(engine, table) == set(keys.values()), table


def test_a_user_with_both_roles_is_a_scheduler(url: str, rows: Rows) -> None:
    engine = _engine_of(url, "dagway_api", "dagway_scheduler")
    assert _seen(engine, "dag_runs") == set(rows["dag_runs"].values())
    engine.dispose()


def test_pauses_of_everything_are_seen_by_all(url: str, gateway: Engine, rows: Rows) -> None:
    engine = open_engine(url)
    pause = {"scope": "global", "name": "", "paused_at": NOW, "paused_by": "", "reason": "", "resumed_at": NOW}
    with transaction(engine) as connection:
        connection.execute(insert(t.pauses).values(pause))
    assert ("global", "") in _seen(of_workspace(gateway, "acme"), "pauses")
    with transaction(engine) as connection:
        connection.execute(t.pauses.delete().where(t.pauses.c.scope == "global"))
    engine.dispose()


def test_a_workspace_is_named_for_one_transaction(gateway: Engine, rows: Rows) -> None:
    names = text("SELECT dag_name FROM dag_runs")
    with transaction(of_workspace(gateway, "acme")) as connection:
        assert connection.execute(names).scalars().all() == ["acme␟etl"]
        in_batches = connection.execute(names, execution_options={"yield_per": 1})
        assert in_batches.scalars().all() == ["acme␟etl"]
    with transaction(of_workspace(gateway, "beta")) as connection:
        first_in_batches = connection.execute(names, execution_options={"yield_per": 1})
        assert first_in_batches.scalars().all() == ["beta␟etl"]
    assert _seen(gateway, "dag_runs") == {rows["dag_runs"][DEFAULT]}


def test_a_plan_that_was_kept_for_another_workspace_finds_nothing(gateway: Engine, rows: Rows) -> None:
    with transaction(gateway) as connection:
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        for table in ("dag_runs", "nodes", "specs", "workspaces", "audit"):
            connection.exec_driver_sql("SET LOCAL dagway.workspace = 'default'")
            connection.exec_driver_sql(f"PREPARE kept AS TABLE {table}")
            assert connection.exec_driver_sql("EXECUTE kept").all(), table
            connection.exec_driver_sql("SET LOCAL dagway.workspace = 'acme'")
            assert not connection.exec_driver_sql("EXECUTE kept").all(), table
            connection.exec_driver_sql("DEALLOCATE kept")


def test_the_gateways_user_cannot_switch_the_policies_off(gateway: Engine, rows: Rows) -> None:
    with (
        pytest.raises(StoreUnavailable, match="would be affected by row-level security"),
        transaction(gateway) as connection,
    ):
        connection.exec_driver_sql("SET LOCAL row_security = off")
        connection.execute(select(t.dag_runs.c.run_key))


def test_only_a_workspace_can_be_named(gateway: Engine) -> None:
    for name in ("*", "default", "'; SELECT 1", "Acme"):
        with pytest.raises(ValueError, match="is not the name of a workspace"):
            of_workspace(gateway, name)
