"""Stored secrets, whose values gateways have encrypted."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0026"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("dags", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
        comment="sealed: the value, encrypted by a gateway with a key that only gateways and workers have",
    )
