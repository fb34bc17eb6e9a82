"""What steps say of themselves while they run, and what chat steps said."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "progress",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "node", name=op.f("pk_progress")),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_progress_run_key"), ondelete="CASCADE"
        ),
        comment="The newest words of a node's last attempt that had any: {progress, remarks, messages}",
    )
