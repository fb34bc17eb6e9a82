"""Reads and writes of workspaces and their members in a transaction."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import ColumnElement, Table, case, delete, null, select, union_all

from shared.store import tables as t
from shared.store.engine import for_update, insert_for
from shared.store.functions import workspace_prefix
from shared.store.queries.workspaces import RESERVED, count_dags, count_runs, gathered
from shared.store.writes.base import FoundRow, NewRow, Writer
from shared.workspaces import QUOTAS, name_prefix

__all__ = ["WorkspaceWrites"]

_NAMED = {
    "DAGs": t.dags.c.file_name,
    "runs": t.dag_runs.c.dag_name,
    "API keys": t.api_keys.c.name,
    "stored secrets": t.secrets.c.name,
    "webhooks": t.webhooks.c.file_name,
    "global queues": t.queue_limits.c.name,
    "pools": t.pools.c.name,
}
"""What may remain of a workspace, and the column with its stored name."""
_TRACES = (
    t.cron_slots.c.file_name,
    t.pauses.c.name,
    t.queues.c.name,
    t.run_totals.c.dag_name,
    t.removed_changes.c.dag_name,
)
"""Stored names in what is kept about DAGs and runs that are gone."""

_RULES = union_all(
    select(t.reserved_worker_pools.c.pool.label("name"), t.reserved_worker_pools.c.workspace, null().label("quota")),
    select(t.workspaces.c.name, null(), t.workspaces.c.max_log_bytes).where(t.workspaces.c.max_log_bytes.is_not(None)),
)


class WorkspaceWrites(Writer):
    """Reads and writes of workspaces and their members."""

    def lock(self, name: str) -> FoundRow | None:
        """Return and lock a workspace, or return ``None`` if it does not exist."""
        return self._first(for_update(select(t.workspaces).where(t.workspaces.c.name == name)))

    def quotas(self, name: str) -> FoundRow | None:
        """Return the quotas of a workspace; ``None`` if it does not exist. Locks it if it has any.

        So what is counted against a quota cannot grow meanwhile in another transaction.
        """
        w = t.workspaces.c
        query = select(w.max_running, w.max_queued, w.max_dags).where(w.name == name)
        found = self._first(query)
        if found is None or all(value is None for value in found.values()):
            return found
        # Weaker than the lock of who deletes it: it lets ``existing`` pass.
        return self._first(query.with_for_update(key_share=True))

    def count_runs(self, name: str, status: ColumnElement[str]) -> int:
        """Count the root runs of a workspace with a status: a condition that a partial index serves."""
        return int(self._connection.execute(count_runs(name, status)).scalar_one())

    def count_dags(self, name: str) -> int:
        """Count the DAGs of a workspace."""
        return int(self._connection.execute(count_dags(name)).scalar_one())

    def existing(self, names: Collection[str]) -> set[str]:
        """Return those of these workspaces that exist, and keep them from being deleted until the transaction ends.

        Transactions that do the same do not wait for each other.
        """
        query = select(t.workspaces.c.name).where(t.workspaces.c.name.in_(sorted(names)))
        query = query.order_by(t.workspaces.c.name).with_for_update(read=True, key_share=True)
        return set(self._connection.execute(query).scalars()) if names else set()

    def add(self, row: NewRow) -> None:
        """Insert a workspace. Raises ``AlreadyExists`` if there is one of this name."""
        self._insert(t.workspaces, [row])

    def put(self, row: NewRow) -> None:
        """Change a workspace that the transaction has locked."""
        self._put(t.workspaces, [row], ["description", *QUOTAS, "updated_at", "by"])

    def remove(self, name: str) -> None:
        """Delete a workspace, its memberships, and what is kept about its former DAGs and runs.

        Otherwise a later workspace of the same name would show them.
        """
        for column in _TRACES:
            where = workspace_prefix(column) == name_prefix(name)
            self._connection.execute(delete(column.table).where(where))
        self._connection.execute(delete(t.workspace_logs).where(t.workspace_logs.c.workspace == name))
        self._connection.execute(delete(t.workspaces).where(t.workspaces.c.name == name))

    def remains(self, name: str) -> str:
        """Return what a workspace still has, such as ``DAGs``; empty if nothing."""
        prefix = name_prefix(name)
        for what, column in _NAMED.items():
            if self._connection.execute(select(column).where(workspace_prefix(column) == prefix).limit(1)).first():
                return what
        r = t.reserved_worker_pools.c
        return "worker pools" if self._first(select(r.pool).where(r.workspace == name).limit(1)) else ""

    def rules(self) -> tuple[dict[str, frozenset[str]], dict[str, int]]:
        """Return, in one statement, what ``reserved_pools`` returns, and the quotas of bytes of logs of one day."""
        rows = self._connection.execute(_RULES).all()
        reserved = gathered((row.name, row.workspace) for row in rows if row.workspace is not None)
        return reserved, {row.name: row.quota for row in rows if row.quota is not None}

    def log_bytes(self, names: Collection[str], day: str) -> dict[str, int]:
        """Return how many bytes of logs these workspaces have stored on a day, ``YYYY-MM-DD``."""
        c = t.workspace_logs.c
        query = select(c.workspace, c.bytes).where(c.workspace.in_(sorted(names)), c.day == day)
        return dict.fromkeys(names, 0) | {row.workspace: row.bytes for row in self._connection.execute(query)}

    def count_log_bytes(self, counted: Mapping[str, int], day: str) -> None:
        """Add to the bytes of logs of workspaces on a day. What is known of an earlier day is forgotten."""
        table = t.workspace_logs
        for name in sorted(counted):
            new = insert_for(self._connection, table).values(workspace=name, day=day, bytes=counted[name])
            same_day = table.c.day == new.excluded.day
            total = case((same_day, table.c.bytes + new.excluded.bytes), else_=new.excluded.bytes)
            self._connection.execute(
                new.on_conflict_do_update(
                    index_elements=[table.c.workspace],
                    set_={"bytes": total, "day": new.excluded.day},
                    where=table.c.day <= new.excluded.day,
                )
            )

    def reserved_pools(self) -> dict[str, frozenset[str]]:
        """Return the workspaces that each reserved worker pool serves."""
        return gathered(self._connection.execute(RESERVED))

    def reserve_pool(self, pool: str, workspaces: Collection[str], *, by: str, at: datetime) -> None:
        """Let a worker pool serve these workspaces only."""
        self.release_pool(pool)
        rows = [{"pool": pool, "workspace": each, "updated_at": at, "by": by} for each in workspaces]
        self._insert(t.reserved_worker_pools, rows)

    def release_pool(self, pool: str) -> bool:
        """Let a worker pool serve all workspaces; return whether it was reserved."""
        reserved: Table = t.reserved_worker_pools
        return self._connection.execute(delete(reserved).where(reserved.c.pool == pool)).rowcount > 0

    def roles(self, user_ids: Collection[str]) -> dict[tuple[str, str], str]:
        """Return the roles of users in workspaces, by workspace and user id."""
        m = t.workspace_members.c
        query = select(m.workspace, m.user_id, m.role).where(m.user_id.in_(sorted(user_ids)))
        return {(row.workspace, row.user_id): row.role for row in self._connection.execute(query)} if user_ids else {}

    def set_member(self, workspace: str, user_id: str, role: str, *, by: str, at: datetime) -> None:
        """Make a user a member of a workspace, or change the role of a member."""
        row = {"workspace": workspace, "user_id": user_id, "role": role, "by": by, "updated_at": at}
        self._put(t.workspace_members, [row], ["role", "by", "updated_at"])

    def remove_member(self, workspace: str, user_id: str) -> bool:
        """End a membership; return whether there was one."""
        members: Table = t.workspace_members
        query = delete(members).where(members.c.workspace == workspace, members.c.user_id == user_id)
        return self._connection.execute(query).rowcount > 0
