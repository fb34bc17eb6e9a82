"""Policies that show the gateway's role only the rows of one workspace (ADR 58).

``dagway_workspace()`` is the workspace that the transaction has named. ``dagway_planned_workspace()`` returns the same,
but is declared IMMUTABLE, so that Postgres computes it when it plans a statement: of each condition only the branch
for that workspace is left, which can use an index and is estimated well. Only this module may use it, and only beside
``GUARD``, which compares both when the statement runs: a plan that was kept for another workspace finds no rows.
"""

from alembic import op

__all__ = [
    "by_name",
    "by_reference",
    "by_run",
    "by_workspace",
    "create_functions",
    "limit_new_table",
    "limit_rows",
    "of_server",
]

# Postgres expects that IS NOT NULL is true of nearly every row; of a comparison, that it is true of one row in 200.
GUARD = "(SELECT dagway_plan_is_for(dagway_planned_workspace())) IS NOT NULL"
_MARK = "␟"
_FUNCTIONS = """
CREATE OR REPLACE FUNCTION dagway_workspace() RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF pg_catalog.pg_has_role('dagway_scheduler', 'USAGE') THEN
        RETURN '*';
    END IF;
    RETURN coalesce(nullif(pg_catalog.current_setting('dagway.workspace', true), ''), 'default');
END
$$;
CREATE OR REPLACE FUNCTION dagway_planned_workspace() RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN {schema}.dagway_workspace();
END
$$;
CREATE OR REPLACE FUNCTION dagway_plan_is_for(workspace text) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    RETURN nullif(workspace = {schema}.dagway_workspace(), false);
END
$$
"""


def create_functions() -> None:
    """Create the functions. Without a name, a transaction sees the default workspace; a scheduler's sees all."""
    schema: str = op.get_bind().exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    op.get_bind().exec_driver_sql(_FUNCTIONS.format(schema=schema))


def by_name(column: str) -> str:
    """Return the condition that a column has a stored name of the workspace.

    It is written as ``Reader`` writes it, so that the same indexes serve it and the same statistics estimate it.
    """
    return (
        f"{GUARD} AND CASE dagway_planned_workspace() WHEN '*' THEN true "
        f"WHEN 'default' THEN {column} NOT LIKE '%{_MARK}%' "
        f"ELSE left({column}, strpos({column}, '{_MARK}')) = dagway_planned_workspace() || '{_MARK}' END"
    )


def by_workspace(column: str) -> str:
    """Return the condition that a column has the name of the workspace itself."""
    return f"{GUARD} AND dagway_planned_workspace() IN ('*', {column})"


def by_reference(*referring: tuple[str, str]) -> str:
    """Return the condition that a visible row refers to the row: for each table, the condition on its ``r``."""
    # Not EXISTS, for which Postgres makes a second plan, each time, that would read all of these rows. The policies of
    # the tables that it reads contain the guard.
    select = "(SELECT true FROM {} r WHERE {} LIMIT 1) IS NOT NULL"
    found = (select.format(table, refers) for table, refers in referring)
    return f"CASE dagway_planned_workspace() WHEN '*' THEN {GUARD} ELSE {' OR '.join(found)} END"


def by_run(table: str) -> str:
    """Return the condition that the row's run is visible. The rows of a removed run are not."""
    return by_reference(("dag_runs", f"r.run_key = {table}.run_key"))


def of_server() -> str:
    """Return the condition that the transaction is not for a named workspace: the rows belong to the whole server."""
    return f"{GUARD} AND dagway_planned_workspace() IN ('*', 'default')"


def limit_rows(table: str, condition: str) -> None:
    """Let members of ``dagway_api`` see only the rows that fit. For all other roles, only their rights count.

    A transaction of its own, so that it waits for a lock while it holds no other. It can be repeated.
    """
    with op.get_context().autocommit_block():
        limit_new_table(table, condition)


def limit_new_table(table: str, condition: str) -> None:
    """Do the same in the revision's own transaction, for a table that it has created: nobody else can have a lock."""
    op.execute(
        f"DROP POLICY IF EXISTS everybody ON {table};"
        f"DROP POLICY IF EXISTS workspace ON {table};"
        # A role without a policy that permits would see nothing.
        f"CREATE POLICY everybody ON {table} USING (true) WITH CHECK (true);"
        f"CREATE POLICY workspace ON {table} AS RESTRICTIVE FOR SELECT TO dagway_api "
        f"USING ({condition});"
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    )
