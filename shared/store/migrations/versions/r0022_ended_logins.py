"""Login tokens end with the password or the role (``users.token_version``), or by a logout (``ended_logins``).

Tokens from before have no version, which counts as 0: they stay valid.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add the column, create the table."""
    op.add_column("users", sa.Column("token_version", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.create_table(
        "ended_logins",
        sa.Column("token_id", sa.String(64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_ended_logins")),
        comment="Login tokens that a logout has ended, until they expire by themselves",
    )
    op.create_index("ix_ended_logins_expires_at", "ended_logins", ["expires_at"])
