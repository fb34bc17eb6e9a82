"""Spec texts that nothing refers to any more are marked, and deleted when they have been so for a week."""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.online_index import create_index_online

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    """Create the indexes by which a text's users are found, then the column with the mark."""
    create_index_online("ix_dag_runs_spec", "dag_runs", ["spec_hash"])
    create_index_online("ix_dag_versions_spec", "dag_versions", ["spec_hash"])
    op.add_column("specs", sa.Column("unused_since", sa.DateTime(timezone=True), nullable=True))
