"""The root runs of a DAG are found without reading its sub-runs: a DAG that others call may have a million of these.

The new index takes the place of one that had the sub-runs as well.
"""

import sqlalchemy as sa

from shared.store.migrations.online_index import create_index_online, drop_index_online

revision = "0054"
down_revision = "0053"

_ROOT = sa.text("root_key IS NULL")


def upgrade() -> None:
    """Create the index, then drop the former one, so that there always is one."""
    columns = ["dag_name", sa.text("created_at DESC"), "dag_run_id"]
    create_index_online("ix_dag_runs_dag_roots", "dag_runs", columns, postgresql_where=_ROOT, sqlite_where=_ROOT)
    drop_index_online("ix_dag_runs_dag_created", "dag_runs")
