"""Lists of the runs of one status, however rare it is."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_ROOTS = sa.text("root_key IS NULL")


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "ix_dag_runs_status_created",
        "dag_runs",
        ["status", sa.text("created_at DESC"), "dag_run_id"],
        postgresql_where=_ROOTS,
        sqlite_where=_ROOTS,
    )
