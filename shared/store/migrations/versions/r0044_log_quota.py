"""A quota of the bytes of logs of one day. Workspaces from before have none, and nothing was cut."""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.workspace_policies import by_workspace, limit_new_table

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    """Add the columns, and create the table with what is used."""
    op.add_column("workspaces", sa.Column("max_log_bytes", sa.BigInteger(), nullable=True))
    op.add_column("log_chunks", sa.Column("dropped", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.create_table(
        "workspace_logs",
        sa.Column("workspace", sa.String(30), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workspace", name=op.f("pk_workspace_logs")),
        comment="How many bytes of logs the workspaces with a quota have stored on their last day with logs (UTC)",
    )
    if op.get_context().dialect.name == "postgresql":
        limit_new_table("workspace_logs", by_workspace("workspace"))
