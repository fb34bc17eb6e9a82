"""The schema. Alembic's migrations build it; a test holds the two together.

Status columns hold the tokens of ``shared.status``. Times are aware UTC. ``run_key`` names a run
everywhere inside; people use ``(dag_name, dag_run_id)``. Indexes for the loops cover only rows that
can still change, so their cost does not grow with history.
"""

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
    UniqueConstraint,
    text,
)

__all__ = [
    "attempts",
    "dag_runs",
    "dag_versions",
    "dags",
    "inbox",
    "log_chunks",
    "metadata",
    "nodes",
    "outbox",
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


def _col(name: str, kind: Any, *constraints: Any, **options: Any) -> Column[Any]:
    options.setdefault("nullable", False)
    return Column(name, kind, *constraints, **options)


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


specs = Table(
    "specs",
    metadata,
    _col("hash", String(64), primary_key=True),
    _col("yaml", Text),
    _col("created_at", UTCDateTime),
    comment="Spec texts by SHA-256: a run keeps the text it was created from, once however many runs",
)

dags = Table(
    "dags",
    metadata,
    _col("file_name", String(200), primary_key=True),
    _col("dag_name", String(200)),
    _col("spec_hash", String(64), ForeignKey("specs.hash")),
    _col("version", Integer),
    _col("summary", JSON),
    _col("tags", JSON),
    _col("errors", JSON),
    _col("suspended", Boolean, server_default=text("false")),
    _col("folder_hash", String(64), nullable=True),
    _col("created_at", UTCDateTime),
    _col("updated_at", UTCDateTime),
    Index("ix_dags_dag_name", "dag_name"),
    comment="Definitions. folder_hash: what the followed folder last held, so that an edit by API stays",
)

dag_versions = Table(
    "dag_versions",
    metadata,
    _col("file_name", String(200), primary_key=True),
    _col("version", Integer, primary_key=True),
    _col("spec_hash", String(64), ForeignKey("specs.hash")),
    _col("at", UTCDateTime),
    _col("by", String(200)),
)

dag_runs = Table(
    "dag_runs",
    metadata,
    _col("run_key", String(36), primary_key=True),
    _col("dag_name", String(200)),
    _col("dag_run_id", String(64)),
    _col("file_name", String(200), nullable=True),
    _col("root_key", String(36), nullable=True),
    _col("parent_key", String(36), nullable=True),
    _col("spec_hash", String(64), ForeignKey("specs.hash")),
    _col("status", String(24)),
    _col("version", Integer),
    _col("last_seq", Integer),
    _col("run_attempt", Integer),
    _col("queue", String(200)),
    _col("priority", Integer, server_default=text("0")),
    _col("given", Text),
    _col("params", JSON),
    _col("params_json", Text, nullable=True),
    _col("env", JSON),
    _col("worker_id", String(200), nullable=True),
    _col("incarnation", String(64), nullable=True),
    _col("stop_reason", String(24), nullable=True),
    _col("only_step", String(200), nullable=True),
    _col("error", Text, server_default=text("''")),
    _col("created_at", UTCDateTime),
    _col("queued_at", UTCDateTime, nullable=True),
    _col("started_at", UTCDateTime, nullable=True),
    _col("finished_at", UTCDateTime, nullable=True),
    UniqueConstraint("dag_name", "dag_run_id"),
    CheckConstraint("run_attempt >= 1", name="run_attempt"),
    Index("ix_dag_runs_created", text("created_at DESC"), "dag_run_id", **_where("root_key IS NULL")),
    Index("ix_dag_runs_dag_created", "dag_name", text("created_at DESC"), "dag_run_id"),
    Index("ix_dag_runs_queued", "queue", text("priority DESC"), "queued_at", "run_key", **_where("status = 'queued'")),
    Index("ix_dag_runs_running", "queue", **_where("status = 'running'")),
    Index("ix_dag_runs_root", "root_key", **_where("root_key IS NOT NULL")),
    comment="given: the params text as asked for; params and env: [[name, value], ...] once evaluated",
)

nodes = Table(
    "nodes",
    metadata,
    _col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    _col("idx", Integer, primary_key=True),
    _col("kind", String(12)),
    _col("name", String(200)),
    _col("status", String(24)),
    _col("number", Integer),
    _col("retry_count", Integer),
    _col("done_count", Integer),
    _col("exit_code", Integer, nullable=True),
    _col("error", Text),
    _col("stdout", Text),
    _col("stderr", Text),
    _col("outputs", JSON),
    _col("started_at", UTCDateTime, nullable=True),
    _col("finished_at", UTCDateTime, nullable=True),
    _col("retry_at", UTCDateTime, nullable=True),
    _col("token", String(64), nullable=True),
    _col("token_state", String(12), nullable=True),
    _col("token_worker", String(200), nullable=True),
    _col("token_incarnation", String(64), nullable=True),
    _col("dispatched_at", UTCDateTime, nullable=True),
    Index("ix_nodes_open", "token_worker", "run_key", **_where("token IS NOT NULL")),
    comment="A step (or lifecycle handler) of a run, with its one open attempt, if any, in token*",
)

attempts = Table(
    "attempts",
    metadata,
    _col("token", String(64), primary_key=True),
    _col("run_key", String(36)),
    _col("node", Integer),
    _col("run_attempt", Integer),
    _col("number", Integer),
    _col("state", String(12)),
    _col("outcome", String(12), nullable=True),
    _col("worker_id", String(200), nullable=True),
    _col("incarnation", String(64), nullable=True),
    _col("exit_code", Integer, nullable=True),
    _col("error", Text),
    _col("dispatched_at", UTCDateTime),
    _col("started_at", UTCDateTime, nullable=True),
    _col("finished_at", UTCDateTime),
    Index("ix_attempts_run", "run_key", "node"),
    comment="Closed attempts, one row each, written once; open ones live in nodes",
)

transitions = Table(
    "transitions",
    metadata,
    _col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    _col("seq", Integer, primary_key=True),
    _col("at", UTCDateTime),
    _col("node", Integer, nullable=True),
    _col("was", String(24)),
    _col("became", String(24)),
    _col("why", Text),
    _col("by", String(200)),
    comment="Every change of a run or node, gap-free per run: the audit, the run log, the event stream",
)

log_chunks = Table(
    "log_chunks",
    metadata,
    _col("token", String(64), primary_key=True),
    _col("stream", String(6), primary_key=True),
    _col("seq", Integer, primary_key=True),
    _col("run_key", String(36)),
    _col("node", Integer),
    _col("run_attempt", Integer),
    _col("number", Integer),
    _col("offset", BigInteger),
    _col("lines", Integer),
    _col("data", LargeBinary),
    _col("at", UTCDateTime),
    Index("ix_log_chunks_node", "run_key", "node", "run_attempt", "stream", "number", "seq"),
)

timers = Table(
    "timers",
    metadata,
    _col("run_key", String(36), ForeignKey("dag_runs.run_key", ondelete="CASCADE"), primary_key=True),
    _col("node", Integer, primary_key=True),
    _col("kind", String(16), primary_key=True),
    _col("due_at", UTCDateTime),
    Index("ix_timers_due_at", "due_at"),
    comment="node is -1 for a timer of the run itself",
)

queues = Table(
    "queues",
    metadata,
    _col("name", String(200), primary_key=True),
    _col("kind", String(12)),
    _col("max_concurrency", Integer, nullable=True),
    comment="One row per queue in use; admission locks it. kind: global (configured) or dag-based",
)

workers = Table(
    "workers",
    metadata,
    _col("worker_id", String(200), primary_key=True),
    _col("incarnation", String(64)),
    _col("host", String(255)),
    _col("version", String(64)),
    _col("labels", JSON),
    _col("slots", Integer),
    _col("busy", Integer),
    _col("state", String(12)),
    _col("started_at", UTCDateTime),
    _col("heartbeat_at", UTCDateTime),
    _col("lease_until", UTCDateTime),
    comment="state: live, draining, stopped, lost",
)

services = Table(
    "services",
    metadata,
    _col("kind", String(16), primary_key=True),
    _col("instance_id", String(200), primary_key=True),
    _col("host", String(255)),
    _col("version", String(64)),
    _col("started_at", UTCDateTime),
    _col("heartbeat_at", UTCDateTime),
    comment="Scheduler replicas that were alive a moment ago",
)

outbox = Table(
    "outbox",
    metadata,
    _col("id", String(36), primary_key=True),
    _col("route", JSON),
    _col("body", LargeBinary),
    _col("created_at", UTCDateTime),
    comment="Messages a committed decision owes the broker; a row goes when the broker confirmed it",
)

inbox = Table(
    "inbox",
    metadata,
    _col("command_id", String(200), primary_key=True),
    _col("type", String(40)),
    _col("body_hash", String(64)),
    _col("outcome", String(12)),
    _col("reply", JSON),
    _col("at", UTCDateTime),
    Index("ix_inbox_at", "at"),
    comment="The one outcome of every command accepted",
)
