"""Few rows are found without reading the many others: a DAG's root runs, and fires that were skipped or missed.

A DAG that others call may have a million sub-runs. Its root runs have an index of their own, which takes the place of
one that had the sub-runs as well.
"""

import sqlalchemy as sa

from shared.store.migrations.online_index import create_index_online, drop_index_online

revision = "0054"
down_revision = "0053"

_ROOT = sa.text("root_key IS NULL")
_NOT_FIRED = sa.text("outcome <> 'fired'")


def upgrade() -> None:
    """Create the indexes, then drop the former one, so that there always is one."""
    columns = ["dag_name", sa.text("created_at DESC"), "dag_run_id"]
    create_index_online("ix_dag_runs_dag_roots", "dag_runs", columns, postgresql_where=_ROOT, sqlite_where=_ROOT)
    of_fires = {"postgresql_where": _NOT_FIRED, "sqlite_where": _NOT_FIRED}
    create_index_online("ix_cron_slots_not_fired", "cron_slots", ["outcome", "slot_at"], **of_fires)
    drop_index_online("ix_dag_runs_dag_created", "dag_runs")
