"""Files of the followed folder that are no dags: their dag was removed by API, or they cannot be loaded."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "passed_over",
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("folder_hash", sa.String(64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_passed_over")),
        comment="Files of the followed folder that are no dags. kind removed: by API, name is the dag's, and its "
        "file is passed over while its text has this folder_hash; refused: name is the file's, problem says why",
    )
