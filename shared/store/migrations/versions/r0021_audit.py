"""The audit log and its hash chain. On Postgres the scheduler's role adds rows, and neither changes nor deletes them.

Retention is a function of the tables' owner, ``dagway_prune_audit``: it removes the oldest part of the chain, keeps at
least the last 30 days whatever its argument is, and records where the kept part begins.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

_TIME = sa.DateTime(timezone=True)

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
    """Create the tables; on Postgres also the function of retention, and narrow the rights of the scheduler's role."""
    op.create_table(
        "audit",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("actor_name", sa.String(200), nullable=False),
        sa.Column("actor_role", sa.String(12), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("command_id", sa.String(200), nullable=False),
        sa.Column("operation", sa.String(60), nullable=False),
        sa.Column("target_kind", sa.String(16), nullable=False),
        sa.Column("target_name", sa.String(200), nullable=False),
        sa.Column("target_id", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="One row per operation that changed something or was refused; rows are only added",
    )
    op.create_index("ix_audit_at", "audit", ["at", "id"])
    for column in ("actor_name", "actor_id", "target_name", "target_id"):
        op.create_index(f"ix_audit_{column}", "audit", [column, "at"])
    op.create_table(
        "audit_links",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_links")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_links_entry_id")),
        comment="The hash chain over the rows of audit. hash: SHA-256 of the previous hash and the entry",
    )
    op.create_table(
        "audit_unlinked",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_unlinked")),
        comment="Entries of audit that are not in the chain yet; a row goes when its entry is linked",
    )
    op.create_table(
        "audit_start",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_start")),
        comment="One row after retention has removed entries: position and hash of the last link removed",
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        _narrow_rights(connection)


def _narrow_rights(connection: sa.Connection) -> None:
    schema: str = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
    function = "dagway_prune_audit(integer, integer)"
    for statement in (
        "REVOKE ALL ON audit, audit_links, audit_start FROM dagway_scheduler",
        "GRANT SELECT, INSERT ON audit, audit_links TO dagway_scheduler",
        "GRANT SELECT ON audit_start TO dagway_scheduler",
        _PRUNE.format(schema=schema),
        f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {function} TO dagway_scheduler",
    ):
        connection.exec_driver_sql(statement)
