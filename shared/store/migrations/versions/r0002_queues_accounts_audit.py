"""Schedules, queues, pools, messages, services, accounts and the audit log, frozen like revision 0001."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)
_PLANNED = sa.text("next_fire_at IS NOT NULL")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("dags", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("name", name=op.f("uq_api_keys_name")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_keys_secret_hash")),
        comment="secret_hash: SHA-256 of the key, which has 32 random bytes: nothing to guess, so nothing slow",
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.String(200), nullable=False),
        sa.Column("actor_name", sa.String(200), nullable=False),
        sa.Column("actor_role", sa.String(12), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("command_id", sa.String(200), nullable=False),
        sa.Column("operation", sa.String(60), nullable=False),
        sa.Column("target_kind", sa.String(16), nullable=False),
        sa.Column("target_name", sa.String(200), nullable=False),
        sa.Column("target_id", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("code", sa.String(40), nullable=False),
        sa.Column("occurrences", sa.Integer(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        comment="One row per operation that changed something or was refused; rows are only added",
    )
    op.create_index("ix_audit_actor_id", "audit", ["actor_id", "at"])
    op.create_index("ix_audit_actor_name", "audit", ["actor_name", "at"])
    op.create_index("ix_audit_at", "audit", ["at", "id"])
    op.create_index("ix_audit_target_id", "audit", ["target_id", "at"])
    op.create_index("ix_audit_target_name", "audit", ["target_name", "at"])
    op.create_table(
        "audit_links",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit_links")),
        sa.UniqueConstraint("entry_id", name=op.f("uq_audit_links_entry_id")),
        comment="The hash chain over the rows of audit. hash: SHA-256 of the previous hash and the entry",
    )
    op.create_table(
        "audit_start",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_start")),
        comment="One row after retention has removed entries: position and hash of the last link removed",
    )
    op.create_table(
        "audit_unlinked",
        sa.Column("entry_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_audit_unlinked")),
        comment="Entries of audit that are not in the chain yet; a row goes when its entry is linked",
    )
    op.create_table(
        "cron_slots",
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("slot_at", _TIME, nullable=False),
        sa.Column("until_at", _TIME, nullable=True),
        sa.Column("expression", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(8), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("dag_run_id", sa.String(64), nullable=True),
        sa.Column("decided_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("file_name", "kind", "slot_at", name=op.f("pk_cron_slots")),
        comment="The ledger: fired, skipped or missed. until_at: the row stands for all slots from slot_at to there",
    )
    op.create_index("ix_cron_slots_decided_at", "cron_slots", ["decided_at"])
    op.create_table(
        "ended_logins",
        sa.Column("token_id", sa.String(64), nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_ended_logins")),
        comment="Login tokens that a logout has ended, until they expire by themselves",
    )
    op.create_index("ix_ended_logins_expires_at", "ended_logins", ["expires_at"])
    op.create_table(
        "inbox",
        sa.Column("command_id", sa.String(200), nullable=False),
        sa.Column("type", sa.String(40), nullable=False),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(12), nullable=False),
        sa.Column("reply", sa.JSON(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("command_id", name=op.f("pk_inbox")),
        comment="The one outcome of every command accepted",
    )
    op.create_index("ix_inbox_at", "inbox", ["at"])
    op.create_table(
        "login_failures",
        sa.Column("guesser", sa.String(64), nullable=False),
        sa.Column("level", sa.Float(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("wait_until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("guesser", name=op.f("pk_login_failures")),
        comment="Failed logins that are not forgiven yet, counted for all gateways",
    )
    op.create_index("ix_login_failures_at", "login_failures", ["at"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("route", sa.JSON(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="Messages a committed decision owes the broker; a row goes when the broker confirmed it",
    )
    op.create_table(
        "pauses",
        sa.Column("scope", sa.String(8), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("paused_at", _TIME, nullable=False),
        sa.Column("paused_by", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("resumed_at", _TIME, nullable=True),
        sa.Column("catchup", sa.String(8), nullable=True),
        sa.PrimaryKeyConstraint("scope", "name", name=op.f("pk_pauses")),
        comment="scope: global, queue or dag. Kept after resumed_at: late slots of that time are decided by it",
    )
    op.create_table(
        "pool_places",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("entered_at", _TIME, nullable=False),
        sa.Column("until_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pool_places")),
        comment="Who has a place: until it is given back, or (a rate limit's) until_at, whatever becomes of the run",
    )
    op.create_index("ix_pool_places_holder", "pool_places", ["run_key", "node"])
    op.create_index("ix_pool_places_pool", "pool_places", ["kind", "name"])
    op.create_table(
        "pools",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("configured", sa.Integer(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
        comment="configured: what the configuration last said, so that a change by API stays. A pool without row has 1",
    )
    op.create_table(
        "queue_limits",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("configured", sa.Integer(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queue_limits")),
        comment="configured: what the configuration last said of a global queue, so that a change by API stays",
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("max_concurrency", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queues")),
        comment="One row per queue in use; admission locks it. kind: global (configured) or dag-based",
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("dags", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
        comment="sealed: the value, encrypted by a gateway with a key that only gateways and workers have",
    )
    op.create_table(
        "services",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("instance_id", sa.String(200), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("heartbeat_at", _TIME, nullable=False),
        sa.Column("reports_until", _TIME, nullable=True),
        sa.Column("session_since", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("kind", "instance_id", name=op.f("pk_services")),
        comment="Scheduler replicas that were alive a moment ago",
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("username", sa.String(200), nullable=False),
        sa.Column("role", sa.String(12), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("token_version", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("username", name=op.f("uq_users_username")),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("last_used_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("file_name", name=op.f("uq_webhooks_file_name")),
    )
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.String(200), nullable=False),
        sa.Column("incarnation", sa.String(64), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("executors", sa.JSON(), nullable=True),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("heartbeat_at", _TIME, nullable=False),
        sa.Column("lease_until", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_workers")),
        comment="state: live, draining, stopped, lost",
    )
    op.create_table(
        "pool_waits",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("limit", sa.Integer(), nullable=False),
        sa.Column("interval_s", sa.Float(), nullable=False),
        sa.Column("entry_order", _TIME, nullable=False),
        sa.Column("asked_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_pool_waits_run_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_key", "node", "kind", "name", name=op.f("pk_pool_waits")),
        comment="Who waits for a place, in the order of entry_order. limit and interval_s: a rate limit's own, else 0",
    )
    op.create_index("ix_pool_waits_line", "pool_waits", ["kind", "name", "entry_order", "run_key", "node"])
    op.create_table(
        "schedules",
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("dag_version", sa.Integer(), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("decided_until", _TIME, nullable=False),
        sa.Column("next_fire_at", _TIME, nullable=True),
        sa.Column("next_start_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["file_name"], ["dags.file_name"], name=op.f("fk_schedules_file_name"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("file_name", name=op.f("pk_schedules")),
        comment="One row per dag. Every slot until decided_until is in the ledger; next_fire_at is the next one",
    )
    op.create_index(
        "ix_schedules_next_fire_at", "schedules", ["next_fire_at"], postgresql_where=_PLANNED, sqlite_where=_PLANNED
    )
