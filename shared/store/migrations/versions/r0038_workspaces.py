"""Workspaces and their members.

Stored names say to which workspace something belongs, so no other table changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0036"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "workspaces",
        sa.Column("name", sa.String(30), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workspaces")),
        comment="Without a row for the default workspace, which always exists",
    )
    op.create_table(
        "workspace_members",
        sa.Column("workspace", sa.String(30), nullable=False),
        sa.Column("user_id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace"],
            ["workspaces.name"],
            name=op.f("fk_workspace_members_workspace"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_workspace_members_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("workspace", "user_id", name=op.f("pk_workspace_members")),
        comment="Roles of users in workspaces other than the default one, whose roles are in users",
    )
    op.create_index("ix_workspace_members_user_id", "workspace_members", ["user_id"])
