"""Few runs of a DAG are found without reading many: those that did not succeed, and the newest in a named workspace."""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.online_index import create_index_online, drop_index_online

revision = "0055"
down_revision = "0054"

# With OR, because SQLite finds one status in no other list.
_NOT_SUCCEEDED = sa.text(
    "root_key IS NULL AND (status = 'failed' OR status = 'aborted' OR status = 'rejected' "
    "OR status = 'partially_succeeded')"
)
_ROOT = sa.text("root_key IS NULL")
_WORKSPACE = "left(dag_name, strpos(dag_name, '␟'))"


def upgrade() -> None:
    """Create the indexes, drop those that one replaces, and let Postgres count how many runs each workspace has."""
    columns = ["status", "dag_name", sa.text("created_at DESC"), "dag_run_id"]
    where = {"postgresql_where": _NOT_SUCCEEDED, "sqlite_where": _NOT_SUCCEEDED}
    create_index_online("ix_dag_runs_not_succeeded", "dag_runs", columns, **where)
    by_id = {"postgresql_where": _ROOT, "sqlite_where": _ROOT}
    create_index_online("uq_dag_runs_id", "dag_runs", ["dag_run_id", "dag_name"], unique=True, **by_id)
    drop_index_online("uq_dag_runs_name", "dag_runs")
    drop_index_online("ix_dag_runs_id", "dag_runs")
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    # Without them, Postgres expects that a named workspace has one run in 200, and each further condition on it leaves
    # one in 200 of these. So it read and sorted all runs of the workspace to list a few. Before Postgres 14 it does so.
    if connection.exec_driver_sql("SELECT current_setting('server_version_num')::int >= 140000").scalar():
        op.execute(f"CREATE STATISTICS IF NOT EXISTS dag_runs_workspace ON ({_WORKSPACE}) FROM dag_runs")
        op.execute("ANALYZE dag_runs")
