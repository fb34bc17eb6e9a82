"""Who may do what: ``dagway_scheduler`` reads and writes rows, ``dagway_api`` reads them.

Both are group roles without login: a deployment's users are made members. Tables belong to whoever
migrates (``dagway_owner`` in production); those he creates later are granted by default privileges.
Roles belong to the whole server, so they may be there already, made by hand or for another database.
SQLite has no roles; the gateway's engine is read-only there by itself.

The scheduler's role adds rows to the audit log, and neither changes nor deletes them. Retention is a function of the
tables' owner, ``dagway_prune_audit``: it removes the oldest part of the chain, keeps at least the last 30 days whatever
its argument is, and records where the kept part begins.
"""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0002"

_ROLES = ("dagway_scheduler", "dagway_api")

_PRUNE = """
CREATE FUNCTION dagway_prune_audit(keep_days integer, at_most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = {schema}, pg_temp AS $$
DECLARE
    first_position bigint;
    last_position bigint;
    removed integer;
BEGIN
    IF keep_days < 30 THEN
        RAISE EXCEPTION USING MESSAGE = 'the audit log keeps at least the last 30 days, not ' || keep_days;
    END IF;
    SELECT min(position) INTO first_position FROM audit_links;
    SELECT least(first_position + at_most - 1, coalesce(min(l.position) - 1, first_position + at_most - 1))
        INTO last_position
        FROM audit_links l JOIN audit a ON a.id = l.entry_id
        WHERE l.position < first_position + at_most AND a.at >= now() - make_interval(days => keep_days);
    SELECT max(position) INTO last_position FROM audit_links WHERE position <= last_position;
    IF last_position IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO audit_start (id, position, hash, at)
        SELECT 1, position, hash, now() FROM audit_links WHERE position = last_position
        ON CONFLICT (id) DO UPDATE SET position = excluded.position, hash = excluded.hash, at = excluded.at;
    DELETE FROM audit USING audit_links l WHERE l.entry_id = audit.id AND l.position <= last_position;
    DELETE FROM audit_links WHERE position <= last_position;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$
"""


def upgrade() -> None:
    """Create the roles that are missing and the function of retention, and grant what each role needs."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for role in _ROLES:
        _create_role(connection, role)
    schema: str = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    owns_schema = connection.exec_driver_sql(
        "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = current_schema()"
    ).scalar_one()
    prune = "dagway_prune_audit(integer, integer)"
    later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema}"
    statements = [
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO dagway_api, dagway_scheduler",
        f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO dagway_scheduler",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO dagway_scheduler",
        f"{later} GRANT SELECT ON TABLES TO dagway_api",
        f"{later} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dagway_scheduler",
        f"{later} GRANT USAGE, SELECT ON SEQUENCES TO dagway_scheduler",
        "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM dagway_scheduler",
        "REVOKE UPDATE, DELETE ON audit, audit_links FROM dagway_scheduler",
        "REVOKE INSERT, UPDATE, DELETE ON audit_start FROM dagway_scheduler",
        _PRUNE.format(schema=schema),
        f"REVOKE ALL ON FUNCTION {prune} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {prune} TO dagway_scheduler",
    ]
    if owns_schema:
        # Before Postgres 15 everybody may create tables in the schema "public".
        statements += [
            f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC",
            f"GRANT USAGE ON SCHEMA {schema} TO dagway_api, dagway_scheduler",
        ]
    for statement in statements:
        connection.exec_driver_sql(statement)


def _create_role(connection: sa.Connection, role: str) -> None:
    if connection.execute(sa.text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).first():
        return
    # Another database of the same server may be migrated at this very moment.
    connection.exec_driver_sql(
        f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )
