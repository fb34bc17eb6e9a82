"""The schema: all tables in one namespace.

Alembic's migrations create the tables; a test checks that both agree. Status columns hold the labels of
``shared.status``. Times are aware UTC. ``run_key`` identifies a run inside Dagway; the API uses
``(dag_name, dag_run_id)``. Indexes for the scheduler's loops cover only rows that can still change, so their cost
does not grow with history.
"""

from shared.store.tables.accounts import api_keys, ended_logins, login_failures, users, webhooks
from shared.store.tables.admission import pauses, pool_places, pool_waits, pools, queue_limits, queues, run_holds
from shared.store.tables.audit import audit, audit_links, audit_start, audit_unlinked
from shared.store.tables.base import UTCDateTime, metadata
from shared.store.tables.dead_letters import dead_letters
from shared.store.tables.definitions import callable_files, dag_versions, dags, passed_over, specs
from shared.store.tables.instances import services, workers
from shared.store.tables.messages import inbox, outbox
from shared.store.tables.runs import (
    attempts,
    counters,
    dag_runs,
    executions,
    log_chunks,
    nodes,
    progress,
    removed_changes,
    run_totals,
    run_totals_mark,
    timers,
    transitions,
)
from shared.store.tables.scheduling import cron_slots, schedules
from shared.store.tables.secrets import secrets
from shared.store.tables.workspaces import reserved_worker_pools, workspace_logs, workspace_members, workspaces

__all__ = [
    "UTCDateTime",
    "api_keys",
    "attempts",
    "audit",
    "audit_links",
    "audit_start",
    "audit_unlinked",
    "callable_files",
    "counters",
    "cron_slots",
    "dag_runs",
    "dag_versions",
    "dags",
    "dead_letters",
    "ended_logins",
    "executions",
    "inbox",
    "log_chunks",
    "login_failures",
    "metadata",
    "nodes",
    "outbox",
    "passed_over",
    "pauses",
    "pool_places",
    "pool_waits",
    "pools",
    "progress",
    "queue_limits",
    "queues",
    "removed_changes",
    "reserved_worker_pools",
    "run_holds",
    "run_totals",
    "run_totals_mark",
    "schedules",
    "secrets",
    "services",
    "specs",
    "timers",
    "transitions",
    "users",
    "webhooks",
    "workers",
    "workspace_logs",
    "workspace_members",
    "workspaces",
]
