"""Dead letters are listed in a table, and commands decide there what becomes of them (ADR 64)."""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.workspace_policies import limit_new_table, of_server

revision = "0048"
down_revision = "0045"


def upgrade() -> None:
    """Create the table. Letters belong to the whole server, whatever workspace the message was about."""
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(255), nullable=False),
        sa.Column("queue", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message_type", sa.String(40), nullable=False),
        sa.Column("about", sa.String(500), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.String(12), nullable=False),
        sa.Column("decided_by", sa.String(200), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        comment="The first dead letters in the broker, without their bodies, and what is decided about them",
    )
    if op.get_context().dialect.name == "postgresql":
        limit_new_table("dead_letters", of_server())
