"""The schema. Alembic's migrations build it; a test holds the two together.

Status columns hold the tokens of ``shared.status``. Times are aware UTC. ``run_key`` names a run
everywhere inside; people use ``(dag_name, dag_run_id)``. Indexes for the loops cover only rows that
can still change, so their cost does not grow with history.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    func,
    text,
)

from shared.store.engine import bytewise

__all__ = [
    "UTCDateTime",
    "attempts",
    "callable_files",
    "col",
    "dag_runs",
    "dag_versions",
    "dags",
    "inbox",
    "log_chunks",
    "metadata",
    "nodes",
    "outbox",
    "passed_over",
    "queues",
    "services",
    "specs",
    "timers",
    "transitions",
    "workers",
]


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime on both databases; SQLite would lose the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("naive datetime")
        return value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        # psycopg2 gives aware ones, in UTC as all our sessions are: a list has thousands of them.
        return None if dialect.name == "postgresql" else super().result_processor(dialect, coltype)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def col(name: str, kind: Any, *constraints: Any, **options: Any) -> Column[Any]:
    """Return a column that is never null unless told so."""
    options.setdefault("nullable", False)
    return Column(name, kind, *constraints, **options)


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


specs = Table(
    "specs",
    metadata,
    col("hash", String(64), primary_key=True),
    col("yaml", Text),
    col("created_at", UTCDateTime),
    comment="Spec texts by SHA-256: a run keeps the text it was created from, once however many runs",
)

dags = Table(
    "dags",
    metadata,
    col("file_name", String(200), primary_key=True),
    col("dag_name", String(200)),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    col("version", Integer),
    col("summary", JSON),
    col("tags", JSON),
    col("errors", JSON),
    col("suspended", Boolean, server_default=text("false")),
    col("folder_hash", String(64), nullable=True),
    col("judged_by", String(64), server_default=text("''")),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    Index("ix_dags_dag_name", "dag_name"),
    comment="Definitions. folder_hash: what the followed folder last held, so that an edit by API stays. "
    "judged_by: the version of the scheduler that found these errors and this summary in the text",
)

callable_files = Table(
    "callable_files",
    metadata,
    col("path", String(200), primary_key=True),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    comment="Files in folders of the followed folder, by their path in it without extension: a step may call them",
)

passed_over = Table(
    "passed_over",
    metadata,
    col("kind", String(8), primary_key=True),
    col("name", String(200), primary_key=True),
    col("folder_hash", String(64), nullable=True),
    col("problem", Text, server_default=text("''")),
    comment="Files of the followed folder that are no dags. kind removed: by API, name is the dag's, and its "
    "file is passed over while its text has this folder_hash; refused: name is the file's, problem says why",
)

# A page of dags, which people ask for first: by name without regard to case.
Index("ix_dags_name_order", bytewise(func.lower(dags.c.dag_name)), bytewise(dags.c.file_name))

dag_versions = Table(
    "dag_versions",
    metadata,
    col("file_name", String(200), primary_key=True),
    col("version", Integer, primary_key=True),
    col("spec_hash", String(64), ForeignKey("specs.hash")),
    col("at", UTCDateTime),
    col("by", String(200)),
)

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
    # The traceparent it was asked for in, and the directory of the step that called it.
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
    CheckConstraint("run_attempt >= 1", name="run_attempt"),
    Index("ix_dag_runs_created", text("created_at DESC"), "dag_run_id", **_where("root_key IS NULL")),
    Index("ix_dag_runs_status_created", "status", text("created_at DESC"), "dag_run_id", **_where("root_key IS NULL")),
    Index("ix_dag_runs_dag_created", "dag_name", text("created_at DESC"), "dag_run_id"),
    Index("ix_dag_runs_queued", "queue", text("priority DESC"), "queued_at", "run_key", **_where("status = 'queued'")),
    Index("ix_dag_runs_running", "queue", **_where("status = 'running'")),
    # A child is found below its root only: two roots may call the same dag in the same words.
    Index("ix_dag_runs_root", "root_key", "dag_run_id", unique=True, **_where("root_key IS NOT NULL")),
    Index("uq_dag_runs_name", "dag_name", "dag_run_id", unique=True, **_where("root_key IS NULL")),
    comment="given: the params text as asked for; params and env: [[name, value], ...] once evaluated",
)

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
    Index("ix_nodes_calls", "run_key", **_where("call_token <> ''")),
    Index("ix_nodes_open", "token_worker", "run_key", **_where("token IS NOT NULL")),
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
    Index("ix_attempts_run", "run_key", "node"),
    comment="Closed attempts, one row each, written once; open ones live in nodes",
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
    col("data", LargeBinary),
    col("at", UTCDateTime),
    Index("ix_log_chunks_node", "run_key", "node", "run_attempt", "stream", "number", "seq"),
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

queues = Table(
    "queues",
    metadata,
    col("name", String(200), primary_key=True),
    col("kind", String(12)),
    col("max_concurrency", Integer, nullable=True),
    comment="One row per queue in use; admission locks it. kind: global (configured) or dag-based",
)

workers = Table(
    "workers",
    metadata,
    col("worker_id", String(200), primary_key=True),
    col("incarnation", String(64)),
    col("host", String(255)),
    col("version", String(64)),
    col("labels", JSON),
    col("executors", JSON, nullable=True),
    col("slots", Integer),
    col("busy", Integer),
    col("state", String(12)),
    col("started_at", UTCDateTime),
    col("heartbeat_at", UTCDateTime),
    col("lease_until", UTCDateTime),
    comment="state: live, draining, stopped, lost",
)

services = Table(
    "services",
    metadata,
    col("kind", String(16), primary_key=True),
    col("instance_id", String(200), primary_key=True),
    col("host", String(255)),
    col("version", String(64)),
    col("started_at", UTCDateTime),
    col("heartbeat_at", UTCDateTime),
    comment="Scheduler replicas that were alive a moment ago",
)

outbox = Table(
    "outbox",
    metadata,
    col("id", String(36), primary_key=True),
    col("route", JSON),
    col("body", LargeBinary),
    col("created_at", UTCDateTime),
    comment="Messages a committed decision owes the broker; a row goes when the broker confirmed it",
)

inbox = Table(
    "inbox",
    metadata,
    col("command_id", String(200), primary_key=True),
    col("type", String(40)),
    col("body_hash", String(64)),
    col("outcome", String(12)),
    col("reply", JSON),
    col("at", UTCDateTime),
    Index("ix_inbox_at", "at"),
    comment="The one outcome of every command accepted",
)
