"""Postgres compresses logs and messages by LZ4, if it can: for a chunk of a log, two thirds of the CPU time."""

from alembic import op

revision = "0049"
down_revision = "0048"


def upgrade() -> None:
    """Set the compression of what is stored from now on. What is stored already stays readable as it is."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    # Without LZ4 (Postgres before 14, or built without it) the usual compression remains.
    able = "SELECT 'lz4' = ANY (enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if connection.exec_driver_sql(able).scalar():
        op.execute("ALTER TABLE log_chunks ALTER COLUMN data SET COMPRESSION lz4")
        op.execute("ALTER TABLE outbox ALTER COLUMN body SET COMPRESSION lz4")
