"""Who may do what: ``dagway_scheduler`` reads and writes rows, ``dagway_api`` reads them.

Both are group roles without login: a deployment's users are made members. Tables belong to whoever
migrates (``dagway_owner`` in production); those he creates later are granted by default privileges.
Roles belong to the whole server, so they may be there already, made by hand or for another database.
SQLite has no roles; the gateway's engine is read-only there by itself.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ROLES = ("dagway_scheduler", "dagway_api")


def upgrade() -> None:
    """Create the roles that are missing and grant them what they need."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for role in _ROLES:
        _create_role(connection, role)
    schema: str = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    owns_schema = connection.exec_driver_sql(
        "SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = current_schema()"
    ).scalar_one()
    later = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema}"
    statements = [
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO dagway_api, dagway_scheduler",
        f"GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO dagway_scheduler",
        f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO dagway_scheduler",
        f"{later} GRANT SELECT ON TABLES TO dagway_api",
        f"{later} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO dagway_scheduler",
        f"{later} GRANT USAGE, SELECT ON SEQUENCES TO dagway_scheduler",
        "REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM dagway_scheduler",
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
