"""On Postgres, the gateway's role sees only the rows of the workspace that a transaction names.

Tables that are not named here have no rows of a workspace, see ADR 58.
"""

from alembic import op

from shared.store.migrations.workspace_policies import (
    by_name,
    by_reference,
    by_run,
    by_workspace,
    create_functions,
    limit_rows,
    of_server,
)

revision = "0042"
down_revision = "0041"

_NAMED = {
    "api_keys": "name",
    "callable_files": "path",
    "cron_slots": "file_name",
    "dag_runs": "dag_name",
    "dag_versions": "file_name",
    "dags": "file_name",
    "inbox": "command_id",
    "passed_over": "name",
    "pool_places": "name",
    "pool_waits": "name",
    "pools": "name",
    "queue_limits": "name",
    "queues": "name",
    "removed_changes": "dag_name",
    "run_totals": "dag_name",
    "schedules": "file_name",
    "secrets": "name",
    "webhooks": "file_name",
}
_OF_RUNS = ("attempts", "executions", "log_chunks", "nodes", "progress", "run_holds", "timers", "transitions")


def upgrade() -> None:
    """Create the functions, then the policies of one table after the other."""
    if op.get_context().dialect.name != "postgresql":
        return
    create_functions()
    for table, column in _NAMED.items():
        limit_rows(table, by_name(column))
    limit_rows("pauses", f"scope = 'global' OR {by_name('name')}")
    for table in _OF_RUNS:
        limit_rows(table, by_run(table))
    # What a DAG has now is one of its versions. A run may have been started with a text of its own.
    users = ("dag_versions", "dag_runs")
    limit_rows("specs", by_reference(*((table, "r.spec_hash = specs.hash") for table in users)))
    limit_rows("workspaces", by_workspace("name"))
    limit_rows("workspace_members", by_workspace("workspace"))
    for table in ("audit", "outbox"):
        limit_rows(table, of_server())
