"""Schedulers keep totals of ended runs, which gateways read instead of counting the history.

The tables begin empty: a scheduler counts the history once, not the migration, since that takes minutes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "run_totals",
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("runs", sa.JSON(), nullable=False),
        sa.Column("durations", sa.JSON(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("waits", sa.JSON(), nullable=False),
        sa.Column("wait_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("dag_name", name=op.f("pk_run_totals")),
        comment="Counts of root runs by status, also of removed ones, and cumulative histograms of their times in "
        "seconds; as of the mark in run_totals_mark",
    )
    op.create_table(
        "run_totals_mark",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_totals_mark")),
        comment="One row. mark: the transactions whose transitions run_totals contains; empty: none yet",
    )
    op.execute("INSERT INTO run_totals_mark (id, mark) VALUES (1, '')")
