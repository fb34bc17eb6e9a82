"""The last transitions of a removed run stay for an hour, so that whoever counts runs still finds them."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0030"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "removed_changes",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("txid", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("was", sa.String(24), nullable=False),
        sa.Column("became", sa.String(24), nullable=False),
        sa.Column("queued_at", _TIME, nullable=True),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "seq", name=op.f("pk_removed_changes")),
        comment="The transitions of the last hour of root runs that were removed, for those who have not counted "
        "them yet",
    )
