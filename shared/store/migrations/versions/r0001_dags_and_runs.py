"""DAGs and their runs, as the code of 27 November 2026 had them. Databases of earlier code cannot be upgraded.

Frozen: it says what the tables were then, whatever ``shared.store.tables`` says now.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.store.engine import is_postgres

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    """Create the tables and their first rows."""
    op.create_table(
        "attempts",
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("outcome", sa.String(12), nullable=True),
        sa.Column("worker_id", sa.String(200), nullable=True),
        sa.Column("incarnation", sa.String(64), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("dispatched_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=False),
        sa.Column("begun", sa.String(10), nullable=True),
        sa.Column("stdout_bytes", sa.BigInteger(), nullable=True),
        sa.Column("stderr_bytes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_attempts")),
        comment="Closed attempts, one row each; open ones live in nodes. begun: never_sent, no, perhaps or yes; the "
        "only column that may change. stdout_bytes, stderr_bytes: the size of the whole log, as the worker "
        "reported it",
    )
    op.create_index("ix_attempts_run", "attempts", ["run_key", "node"])
    op.create_table(
        "counters",
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
        comment="SQLite's stand-in for Postgres' transaction numbers",
    )
    op.create_table(
        "executions",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("worker_id", sa.String(200), nullable=False),
        sa.Column("incarnation", sa.String(64), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("begun", sa.Boolean(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "token", "worker_id", "incarnation", name=op.f("pk_executions")),
        comment="Append-only: who began an attempt or asked whether it may, and the answer. accepted: it holds the "
        "attempt. begun: it has begun, or has the right to. why: its reason to ask, or why it was turned away",
    )
    op.create_table(
        "log_chunks",
        sa.Column("token", sa.String(64), nullable=False),
        sa.Column("stream", sa.String(6), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("token", "stream", "seq", name=op.f("pk_log_chunks")),
    )
    op.create_index("ix_log_chunks_node", "log_chunks", ["run_key", "node", "run_attempt", "stream", "number", "seq"])
    op.create_table(
        "passed_over",
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("folder_hash", sa.String(64), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_passed_over")),
        comment="Files of the followed folder that are no dags. kind removed: by API, name is the dag's, and its file "
        "is passed over while its text has this folder_hash; refused: name is the file's, problem says why",
    )
    op.create_table(
        "removed_changes",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("txid", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("was", sa.String(24), nullable=False),
        sa.Column("became", sa.String(24), nullable=False),
        sa.Column("queued_at", _TIME, nullable=True),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_key", "seq", name=op.f("pk_removed_changes")),
        comment="The transitions of the last hour of root runs that were removed, for those who have not counted them "
        "yet",
    )
    op.create_table(
        "run_totals",
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("runs", sa.JSON(), nullable=False),
        sa.Column("durations", sa.JSON(), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("waits", sa.JSON(), nullable=False),
        sa.Column("wait_s", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("dag_name", name=op.f("pk_run_totals")),
        comment="Counts of root runs by status, also of removed ones, and cumulative histograms of their times in "
        "seconds; as of the mark in run_totals_mark",
    )
    op.create_table(
        "run_totals_mark",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_totals_mark")),
        comment="One row. mark: the transactions whose transitions run_totals contains; empty: none yet",
    )
    op.create_table(
        "specs",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("yaml", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_specs")),
        comment="Spec texts by SHA-256: a run keeps the text it was created from, once however many runs",
    )
    op.create_table(
        "callable_files",
        sa.Column("path", sa.String(200), nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_callable_files_spec_hash")),
        sa.PrimaryKeyConstraint("path", name=op.f("pk_callable_files")),
        comment="Files in folders of the followed folder, by their path in it without extension: a step may call them",
    )
    op.create_table(
        "dag_runs",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("dag_run_id", sa.String(64), nullable=False),
        sa.Column("file_name", sa.String(200), nullable=True),
        sa.Column("root_key", sa.String(36), nullable=True),
        sa.Column("parent_key", sa.String(36), nullable=True),
        sa.Column("parent_node", sa.Integer(), nullable=True),
        sa.Column("parent_params", sa.Text(), nullable=True),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("trace", sa.String(55), nullable=False, server_default=sa.text("''")),
        sa.Column("called_from", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(200), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("params", sa.JSON(), nullable=False),
        sa.Column("params_json", sa.Text(), nullable=True),
        sa.Column("env", sa.JSON(), nullable=False),
        sa.Column("worker_id", sa.String(200), nullable=True),
        sa.Column("incarnation", sa.String(64), nullable=True),
        sa.Column("stop_reason", sa.String(24), nullable=True),
        sa.Column("only_step", sa.String(200), nullable=True),
        sa.Column("error", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("queued_at", _TIME, nullable=True),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("first_started_at", _TIME, nullable=True),
        sa.Column("started_by", sa.String(200), nullable=False, server_default=sa.text("''")),
        sa.CheckConstraint("run_attempt >= 1", name=op.f("ck_dag_runs_run_attempt")),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_dag_runs_spec_hash")),
        sa.PrimaryKeyConstraint("run_key", name=op.f("pk_dag_runs")),
        comment="given: the params text as asked for; params and env: [[name, value], ...] once evaluated",
    )
    op.create_index(
        "ix_dag_runs_created", "dag_runs", [sa.text("created_at DESC"), "dag_run_id"], **_where("root_key IS NULL")
    )
    op.create_index("ix_dag_runs_dag_created", "dag_runs", ["dag_name", sa.text("created_at DESC"), "dag_run_id"])
    op.create_index("ix_dag_runs_id", "dag_runs", ["dag_run_id"], **_where("root_key IS NULL"))
    op.create_index(
        "ix_dag_runs_queued",
        "dag_runs",
        ["queue", sa.text("priority DESC"), "queued_at", "run_key"],
        **_where("status = 'queued'"),
    )
    op.create_index(
        "ix_dag_runs_root", "dag_runs", ["root_key", "dag_run_id"], unique=True, **_where("root_key IS NOT NULL")
    )
    op.create_index("ix_dag_runs_running", "dag_runs", ["queue"], **_where("status = 'running'"))
    op.create_index(
        "ix_dag_runs_status_created",
        "dag_runs",
        ["status", sa.text("created_at DESC"), "dag_run_id"],
        **_where("root_key IS NULL"),
    )
    op.create_index(
        "uq_dag_runs_name", "dag_runs", ["dag_name", "dag_run_id"], unique=True, **_where("root_key IS NULL")
    )
    op.create_table(
        "dag_versions",
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_dag_versions_spec_hash")),
        sa.PrimaryKeyConstraint("file_name", "version", name=op.f("pk_dag_versions")),
    )
    op.create_table(
        "dags",
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("dag_name", sa.String(200), nullable=False),
        sa.Column("spec_hash", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("folder_hash", sa.String(64), nullable=True),
        sa.Column("judged_by", sa.String(64), nullable=False, server_default=sa.text("''")),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["spec_hash"], ["specs.hash"], name=op.f("fk_dags_spec_hash")),
        sa.PrimaryKeyConstraint("file_name", name=op.f("pk_dags")),
        comment="Definitions. folder_hash: what the followed folder last held, so that an edit by API stays. "
        "judged_by: the version of the scheduler that found these errors and this summary in the text",
    )
    op.create_index("ix_dags_dag_name", "dags", ["dag_name"])
    bytewise = ' COLLATE "C"' if is_postgres(op.get_bind()) else ""
    order = [sa.text(f"(lower(dag_name){bytewise})"), sa.text(f"(file_name{bytewise})")]
    op.create_index("ix_dags_name_order", "dags", order)
    op.create_table(
        "nodes",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("idx", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("status", sa.String(24), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("done_count", sa.Integer(), nullable=False),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("stdout", sa.Text(), nullable=False),
        sa.Column("stderr", sa.Text(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=False),
        sa.Column("output_matched", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("unmet", sa.JSON(), nullable=True),
        sa.Column("children", sa.JSON(), nullable=True),
        sa.Column("call_token", sa.String(64), nullable=False, server_default=sa.text("''")),
        sa.Column("approval", sa.JSON(), nullable=True),
        sa.Column("admission", sa.String(8), nullable=False, server_default=sa.text("''")),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("retry_at", _TIME, nullable=True),
        sa.Column("token", sa.String(64), nullable=True),
        sa.Column("token_state", sa.String(12), nullable=True),
        sa.Column("token_worker", sa.String(200), nullable=True),
        sa.Column("token_incarnation", sa.String(64), nullable=True),
        sa.Column("dispatched_at", _TIME, nullable=True),
        sa.ForeignKeyConstraint(["run_key"], ["dag_runs.run_key"], name=op.f("fk_nodes_run_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_key", "idx", name=op.f("pk_nodes")),
        comment="A step (or lifecycle handler) of a run, with its one open attempt, if any, in token*",
    )
    op.create_index("ix_nodes_calls", "nodes", ["run_key"], **_where("call_token <> ''"))
    op.create_index("ix_nodes_open", "nodes", ["token_worker", "run_key"], **_where("token IS NOT NULL"))
    op.create_table(
        "progress",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("run_attempt", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("said", sa.JSON(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_progress_run_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_key", "node", name=op.f("pk_progress")),
        comment="The newest words of a node's last attempt that had any: {progress, remarks, messages}",
    )
    op.create_table(
        "run_holds",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("after_key", sa.String(36), nullable=True),
        sa.Column("wait_s", sa.Integer(), nullable=False),
        sa.Column("not_before", _TIME, nullable=True),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_run_holds_run_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_key", name=op.f("pk_run_holds")),
        comment="A queued run that may not be admitted before that moment, or until wait_s after another ended",
    )
    op.create_table(
        "timers",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("node", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("due_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["run_key"], ["dag_runs.run_key"], name=op.f("fk_timers_run_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_key", "node", "kind", name=op.f("pk_timers")),
        comment="node is -1 for a timer of the run itself",
    )
    op.create_index("ix_timers_due_at", "timers", ["due_at"])
    op.create_table(
        "transitions",
        sa.Column("run_key", sa.String(36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("node", sa.Integer(), nullable=True),
        sa.Column("was", sa.String(24), nullable=False),
        sa.Column("became", sa.String(24), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("txid", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("pos", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.ForeignKeyConstraint(
            ["run_key"], ["dag_runs.run_key"], name=op.f("fk_transitions_run_key"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_key", "seq", name=op.f("pk_transitions")),
        comment="Every change of a run or node, gap-free per run: the audit, the run log, the event stream",
    )
    op.create_index("ix_transitions_stream", "transitions", ["txid", "pos"])
    op.execute("INSERT INTO counters (name, value) VALUES ('transaction', 1)")
    op.execute("INSERT INTO run_totals_mark (id, mark) VALUES (1, '')")
