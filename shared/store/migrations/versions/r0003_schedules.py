"""Schedules with their ledger, limits and pauses of queues."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables; the schedulers fill ``schedules`` at their start."""
    op.create_table(
        "schedules",
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("dag_version", sa.Integer(), nullable=False),
        sa.Column("zone", sa.String(64), nullable=False),
        sa.Column("decided_until", _TIME, nullable=False),
        sa.Column("next_fire_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("file_name", name=op.f("pk_schedules")),
        sa.ForeignKeyConstraint(
            ["file_name"], ["dags.file_name"], name=op.f("fk_schedules_file_name"), ondelete="CASCADE"
        ),
        comment="One row per dag. Every slot until decided_until is in the ledger; next_fire_at is the next one",
    )
    op.create_index(
        "ix_schedules_next_fire_at",
        "schedules",
        ["next_fire_at"],
        postgresql_where=sa.text("next_fire_at IS NOT NULL"),
        sqlite_where=sa.text("next_fire_at IS NOT NULL"),
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
        "queue_limits",
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("configured", sa.Integer(), nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queue_limits")),
        comment="configured: what the configuration last said of a global queue, so that a change by API stays",
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
        "run_holds",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("after_key", sa.String(36), nullable=True),
        sa.Column("wait_s", sa.Integer(), nullable=False),
        sa.Column("not_before", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("run_key", name=op.f("pk_run_holds")),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_run_holds_run_key"), ondelete="CASCADE"
        ),
        comment="A queued run that may not be admitted before that moment, or until wait_s after another ended",
    )
