"""Tables of workspaces and their members. What belongs to a workspace says so by its stored name."""

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Table, Text

from shared.store.tables.base import UTCDateTime, col, metadata

__all__ = ["reserved_worker_pools", "workspace_logs", "workspace_members", "workspaces"]

workspaces = Table(
    "workspaces",
    metadata,
    col("name", String(30), primary_key=True),
    col("description", Text),
    col("created_at", UTCDateTime),
    col("updated_at", UTCDateTime),
    col("by", String(200)),
    # Quotas of root runs that run, root runs that are queued, and DAGs; NULL: no limit.
    col("max_running", Integer, nullable=True),
    col("max_queued", Integer, nullable=True),
    col("max_dags", Integer, nullable=True),
    # Quota of the bytes of logs of one day; NULL: no limit.
    col("max_log_bytes", BigInteger, nullable=True),
    comment="Without a row for the default workspace, which always exists",
)

workspace_members = Table(
    "workspace_members",
    metadata,
    col("workspace", String(30), ForeignKey("workspaces.name", ondelete="CASCADE"), primary_key=True),
    col("user_id", String(36), ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    col("role", String(12)),
    col("updated_at", UTCDateTime),
    col("by", String(200)),
    Index("ix_workspace_members_user_id", "user_id"),
    comment="Roles of users in workspaces other than the default one, whose roles are in users",
)

reserved_worker_pools = Table(
    "reserved_worker_pools",
    metadata,
    col("pool", String(40), primary_key=True),
    # Empty: the default workspace.
    col("workspace", String(30), primary_key=True),
    col("updated_at", UTCDateTime),
    col("by", String(200)),
    comment="The workspaces that each reserved worker pool serves; pools without a row serve all",
)

workspace_logs = Table(
    "workspace_logs",
    metadata,
    col("workspace", String(30), primary_key=True),
    col("day", String(10)),
    col("bytes", BigInteger),
    comment="How many bytes of logs the workspaces with a quota have stored on their last day with logs (UTC)",
)
