"""The newest runs of a workspace are found without reading those of others. Has only runs of named workspaces.

Only on Postgres: SQLite's tables are rebuilt without indexes of expressions.
"""

import sqlalchemy as sa
from alembic import op

from shared.store.migrations.online_index import create_index_online

revision = "0040"
down_revision = "0039"

_WORKSPACE = "left(dag_name, strpos(dag_name, '␟'))"


def upgrade() -> None:
    """Create the index."""
    if op.get_context().dialect.name != "postgresql":
        return
    columns = [sa.text(_WORKSPACE), sa.text("created_at DESC"), "dag_run_id"]
    where = sa.text(f"root_key IS NULL AND {_WORKSPACE} <> ''")
    create_index_online("ix_dag_runs_workspace", "dag_runs", columns, postgresql_where=where)
