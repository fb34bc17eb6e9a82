"""A filter for the whole id of a run does not read the history: only runs with longer ids can match too."""

import sqlalchemy as sa

from shared.store.migrations.online_index import create_index_online

revision = "0052"
down_revision = "0051"

_LONG = sa.text("root_key IS NULL AND length(dag_run_id) > 36")


def upgrade() -> None:
    """Create the index."""
    create_index_online("ix_dag_runs_long_id", "dag_runs", ["dag_run_id"], postgresql_where=_LONG, sqlite_where=_LONG)
