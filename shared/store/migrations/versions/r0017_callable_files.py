"""Files in folders of the followed folder: they are no dags of their own, but a step may call them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "callable_files",
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_callable_files_spec_hash")),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_callable_files")),
        comment="Files in folders of the followed folder, by their path in it without extension: a step may call them",
    )
