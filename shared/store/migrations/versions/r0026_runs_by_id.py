"""The whole id of a run finds it in the history of all DAGs, however old it is."""

import sqlalchemy as sa

from shared.store.migrations.online_index import create_index_online

revision = "0026"
down_revision = "0024"

_ROOTS = sa.text("root_key IS NULL")


def upgrade() -> None:
    """Create the index."""
    create_index_online("ix_dag_runs_id", "dag_runs", ["dag_run_id"], postgresql_where=_ROOTS, sqlite_where=_ROOTS)
