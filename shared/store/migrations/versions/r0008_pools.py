"""Pools, locks and rate limits: their capacities, who waits, and who has a place."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables, add the column."""
    op.add_column("nodes", sa.Column("admission", sa.String(8), nullable=False, server_default=sa.text("''")))
    op.create_table(
        "pools",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("configured", sa.Integer(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
        comment="configured: what the configuration last said, so that a change by API stays. A pool without row has 1",
    )
    op.create_table(
        "pool_waits",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("limit", sa.Integer(), nullable=False),
        sa.Column("interval_s", sa.Float(), nullable=False),
        sa.Column("entry_order", _TIME, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("run_key", "node", "kind", "name", name=op.f("pk_pool_waits")),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_pool_waits_run_key"), ondelete="CASCADE"
        ),
        comment="Who waits for a place, in the order of entry_order. limit and interval_s: a rate limit's own, else 0",
    )
    op.create_index("ix_pool_waits_line", "pool_waits", ["kind", "name", "entry_order", "run_key", "node"])
    op.create_table(
        "pool_places",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("entered_at", _TIME, nullable=False),
        sa.Column("until_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_places")),
        comment="Who has a place: until it is given back, or (a rate limit's) until_at, whatever becomes of the run",
    )
    op.create_index("ix_pool_places_pool", "pool_places", ["kind", "name"])
    op.create_index("ix_pool_places_holder", "pool_places", ["run_key", "node"])
