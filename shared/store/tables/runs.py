"""Tables of runs: nodes, attempts, transitions, logs, timers, progress."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    text,
)

from shared.store.functions import workspace_prefix
from shared.store.tables.base import Bytes, UTCDateTime, col, metadata, where

__all__ = [
    "attempts",
    "counters",
    "dag_runs",
    "executions",
    "log_chunks",
    "nodes",
    "progress",
    "removed_changes",
    "run_totals",
    "run_totals_mark",
    "timers",
    "transitions",
]

dag_runs = Table(
    "dag_runs",
    metadata,
    col("run_key", String(36), primary_key=True),
    col("dag_name", String(200)),
    col("dag_run_id", String(64)),
    col("file_name", String(200), nullable=True),
    col("root_key", String(36), nullable=True),
    col("parent_key", String(36), nullable=True),
    col("parent_node", Integer, nullable=True),
    col("parent_params", Text, nullable=True),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    # trace: the traceparent of the request that started the run. called_from: the directory of the calling step.
    col("trace", String(55), server_default=text("''")),
    col("called_from", Text, server_default=text("''")),
    col("status", String(24)),
    col("version", Integer),
    col("last_seq", Integer),
    col("run_attempt", Integer),
    col("queue", String(200)),
    col("priority", Integer, server_default=text("0")),
    col("given", Text),
    col("params", JSON),
    col("params_json", Text, nullable=True),
    col("env", JSON),
    col("worker_id", String(200), nullable=True),
    col("incarnation", String(64), nullable=True),
    col("stop_reason", String(24), nullable=True),
    col("only_step", String(200), nullable=True),
    col("error", Text, server_default=text("''")),
    col("created_at", UTCDateTime),
    col("queued_at", UTCDateTime, nullable=True),
    col("started_at", UTCDateTime, nullable=True),
    col("finished_at", UTCDateTime, nullable=True),
    # Empty until the second attempt of the run.
    col("first_started_at", UTCDateTime, nullable=True),
    # Who asked for the run, as in transitions: a user, key or webhook, "schedule", or the run that called it.
    col("started_by", String(200), server_default=text("''")),
    # The scheduled time that the run is for. It never changes.
    col("scheduled_at", UTCDateTime, nullable=True),
    CheckConstraint("run_attempt >= 1", name="run_attempt"),
    Index("ix_dag_runs_created", text("created_at DESC"), "dag_run_id", **where("root_key IS NULL")),
    Index("ix_dag_runs_status_created", "status", text("created_at DESC"), "dag_run_id", **where("root_key IS NULL")),
    # Without the sub-runs, of which a DAG that others call may have very many.
    Index("ix_dag_runs_dag_roots", "dag_name", text("created_at DESC"), "dag_run_id", **where("root_key IS NULL")),
    # A DAG's runs that did not succeed: a run that does has no entry. SQLite finds one status by OR, but not by IN.
    Index(
        "ix_dag_runs_not_succeeded",
        "status",
        "dag_name",
        text("created_at DESC"),
        "dag_run_id",
        **where(
            "root_key IS NULL AND (status = 'failed' OR status = 'aborted' OR status = 'rejected' "
            "OR status = 'partially_succeeded')"
        ),
    ),
    Index("ix_dag_runs_queued", "queue", text("priority DESC"), "queued_at", "run_key", **where("status = 'queued'")),
    Index("ix_dag_runs_running", "queue", **where("status = 'running'")),
    # Whether any run has a spec text.
    Index("ix_dag_runs_spec", "spec_hash"),
    # For a part of an id that is as long as a usual one: few runs have longer ones.
    Index("ix_dag_runs_long_id", "dag_run_id", **where("root_key IS NULL AND length(dag_run_id) > 36")),
    # The id of a sub-run is unique only below its root: two root runs may call the same DAG with the same params.
    Index("ix_dag_runs_root", "root_key", "dag_run_id", unique=True, **where("root_key IS NOT NULL")),
    # The id first: it is also sought without the DAG. And for the runs of a DAG in the order of time Postgres has
    # no index to choose but that of this order.
    Index("uq_dag_runs_id", "dag_run_id", "dag_name", unique=True, **where("root_key IS NULL")),
    comment="given: the params text as asked for; params and env: [[name, value], ...] once evaluated",
)

# For the lists of a named workspace: without the runs of the default one, which need no entry. Not on SQLite, whose
# tables are rebuilt without indexes of expressions.
Index(
    "ix_dag_runs_workspace",
    workspace_prefix(dag_runs.c.dag_name),
    text("created_at DESC"),
    dag_runs.c.dag_run_id,
    postgresql_where=text("root_key IS NULL AND left(dag_name, strpos(dag_name, '␟')) <> ''"),
).ddl_if(dialect="postgresql")

nodes = Table(
    "nodes",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("idx", Integer, primary_key=True),
    col("kind", String(12)),
    col("name", String(200)),
    col("status", String(24)),
    col("number", Integer),
    col("retry_count", Integer),
    col("done_count", Integer),
    col("exit_code", Integer, nullable=True),
    col("error", Text),
    col("stdout", Text),
    col("stderr", Text),
    col("outputs", JSON),
    col("output_matched", Boolean, server_default=text("false")),
    col("unmet", JSON(none_as_null=True), nullable=True),
    col("children", JSON, nullable=True),
    col("call_token", String(64), server_default=text("''")),
    col("approval", JSON(none_as_null=True), nullable=True),
    col("admission", String(8), server_default=text("''")),
    col("started_at", UTCDateTime, nullable=True),
    col("finished_at", UTCDateTime, nullable=True),
    col("retry_at", UTCDateTime, nullable=True),
    col("token", String(64), nullable=True),
    col("token_state", String(12), nullable=True),
    col("token_worker", String(200), nullable=True),
    col("token_incarnation", String(64), nullable=True),
    col("dispatched_at", UTCDateTime, nullable=True),
    # A letter for each of ``children``: what changes of them, while they and their params stay as they are.
    col("child_states", Text, nullable=True),
    Index("ix_nodes_calls", "run_key", **where("call_token <> ''")),
    Index("ix_nodes_open", "token_worker", "run_key", **where("token IS NOT NULL")),
    comment="A step (or lifecycle handler) of a run, with its one open attempt, if any, in token*",
)

attempts = Table(
    "attempts",
    metadata,
    col("token", String(64), primary_key=True),
    col("run_key", String(36)),
    col("node", Integer),
    col("run_attempt", Integer),
    col("number", Integer),
    col("state", String(12)),
    col("outcome", String(12), nullable=True),
    col("worker_id", String(200), nullable=True),
    col("incarnation", String(64), nullable=True),
    col("exit_code", Integer, nullable=True),
    col("error", Text),
    col("dispatched_at", UTCDateTime),
    col("started_at", UTCDateTime, nullable=True),
    col("finished_at", UTCDateTime),
    col("begun", String(10), nullable=True),
    col("stdout_bytes", BigInteger, nullable=True),
    col("stderr_bytes", BigInteger, nullable=True),
    Index("ix_attempts_run", "run_key", "node"),
    comment="Closed attempts, one row each; open ones live in nodes. begun: never_sent, no, perhaps or yes; the only "
    "column that may change. stdout_bytes, stderr_bytes: the size of the whole log, as the worker reported it",
)

executions = Table(
    "executions",
    metadata,
    col("run_key", String(36), primary_key=True),
    col("token", String(64), primary_key=True),
    col("worker_id", String(200), primary_key=True),
    col("incarnation", String(64), primary_key=True),
    col("node", Integer),
    col("at", UTCDateTime),
    col("accepted", Boolean),
    col("begun", Boolean),
    col("why", Text),
    comment="Append-only: who began an attempt or asked whether it may, and the answer. accepted: it holds the "
    "attempt. begun: it has begun, or has the right to. why: its reason to ask, or why it was turned away",
)

transitions = Table(
    "transitions",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("seq", Integer, primary_key=True),
    col("at", UTCDateTime),
    col("node", Integer, nullable=True),
    col("was", String(24)),
    col("became", String(24)),
    col("why", Text),
    col("by", String(200)),
    col("txid", BigInteger, server_default=text("0")),
    col("pos", Integer, server_default=text("0")),
    Index("ix_transitions_stream", "txid", "pos"),
    comment="Every change of a run or node, gap-free per run: the audit, the run log, the event stream",
)

counters = Table(
    "counters",
    metadata,
    col("name", String(32), primary_key=True),
    col("value", BigInteger),
    comment="SQLite's stand-in for Postgres' transaction numbers",
)

run_totals = Table(
    "run_totals",
    metadata,
    col("dag_name", String(200), primary_key=True),
    col("runs", JSON),
    col("durations", JSON),
    col("duration_s", Float),
    col("waits", JSON),
    col("wait_s", Float),
    comment="Counts of root runs by status, also of removed ones, and cumulative histograms of their times in seconds; "
    "as of the mark in run_totals_mark",
)

run_totals_mark = Table(
    "run_totals_mark",
    metadata,
    col("id", Integer, primary_key=True, autoincrement=False),
    col("mark", Text),
    comment="One row. mark: the transactions whose transitions run_totals contains; empty: none yet",
)

removed_changes = Table(
    "removed_changes",
    metadata,
    col("run_key", String(36), primary_key=True),
    col("seq", Integer, primary_key=True),
    col("txid", BigInteger),
    col("at", UTCDateTime),
    col("dag_name", String(200)),
    col("was", String(24)),
    col("became", String(24)),
    col("queued_at", UTCDateTime, nullable=True),
    col("started_at", UTCDateTime, nullable=True),
    col("finished_at", UTCDateTime, nullable=True),
    col("run_attempt", Integer),
    comment="The transitions of the last hour of root runs that were removed, for those who have not counted them yet",
)

log_chunks = Table(
    "log_chunks",
    metadata,
    col("token", String(64), primary_key=True),
    col("stream", String(6), primary_key=True),
    col("seq", Integer, primary_key=True),
    col("run_key", String(36)),
    col("node", Integer),
    col("run_attempt", Integer),
    col("number", Integer),
    col("offset", BigInteger),
    col("lines", Integer),
    col("data", Bytes),
    col("at", UTCDateTime),
    # How many bytes fewer than the worker sent are stored, because a quota was used up. Below 0 if the line that says
    # so is longer than what it replaces.
    col("dropped", Integer, server_default=text("0")),
    Index("ix_log_chunks_node", "run_key", "node", "run_attempt", "stream", "number", "seq"),
)

progress = Table(
    "progress",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("node", Integer, primary_key=True),
    col("run_attempt", Integer),
    col("number", Integer),
    col("seq", Integer),
    col("said", JSON),
    col("at", UTCDateTime),
    comment="The newest words of a node's last attempt that had any: {progress, remarks, messages}",
)

timers = Table(
    "timers",
    metadata,
    col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    col("node", Integer, primary_key=True),
    col("kind", String(16), primary_key=True),
    col("due_at", UTCDateTime),
    Index("ix_timers_due_at", "due_at"),
    comment="node is -1 for a timer of the run itself",
)
