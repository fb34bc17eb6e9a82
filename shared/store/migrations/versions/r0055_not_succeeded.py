"""The runs of a DAG that did not succeed are found without reading those that did, or those of other DAGs."""

import sqlalchemy as sa

from shared.store.migrations.online_index import create_index_online

revision = "0055"
down_revision = "0054"

# With OR, because SQLite finds one status in no other list.
_NOT_SUCCEEDED = sa.text(
    "root_key IS NULL AND (status = 'failed' OR status = 'aborted' OR status = 'rejected' "
    "OR status = 'partially_succeeded')"
)


def upgrade() -> None:
    """Create the index."""
    columns = ["status", "dag_name", sa.text("created_at DESC"), "dag_run_id"]
    where = {"postgresql_where": _NOT_SUCCEEDED, "sqlite_where": _NOT_SUCCEEDED}
    create_index_online("ix_dag_runs_not_succeeded", "dag_runs", columns, **where)
