"""Reads of workspaces and their members."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import ColumnElement, select, true

from shared.store import tables as t
from shared.store.functions import bytewise
from shared.store.queries.runs import QUEUED, RUNNING
from shared.store.queries.workspaces import RESERVED, count_dags, count_runs, gathered
from shared.store.reads.base import Reader, columns_of

__all__ = ["MemberRow", "WorkspaceReads", "WorkspaceRow", "WorkspaceUsage"]


class WorkspaceRow(NamedTuple):
    """A workspace other than the default one."""

    name: str
    description: str
    created_at: datetime
    updated_at: datetime
    max_running: int | None = None
    max_queued: int | None = None
    max_dags: int | None = None
    max_log_bytes: int | None = None
    """The quota of the bytes of logs of one day (UTC)."""


class MemberRow(NamedTuple):
    """A member of a workspace."""

    workspace: str
    user_id: str
    username: str
    role: str


class WorkspaceUsage(NamedTuple):
    """What counts towards the quotas of a workspace: its root runs and its DAGs."""

    running: int
    queued: int
    dags: int


class WorkspaceReads(Reader):
    """Reads of workspaces. They are the same for the readers of all workspaces."""

    def workspaces(self) -> tuple[WorkspaceRow, ...]:
        """Return all workspaces but the default one, by name."""
        return self._workspaces(true())

    def workspace(self, name: str) -> WorkspaceRow | None:
        """Return the workspace with this name."""
        found = self._workspaces(t.workspaces.c.name == name)
        return found[0] if found else None

    def log_bytes(self, workspace: str, at: datetime) -> int:
        """Return how many bytes of logs a workspace with a quota has stored on the day (UTC) of ``at``."""
        c = t.workspace_logs.c
        day = at.astimezone(UTC).date().isoformat()
        with self._statement(of_server=True) as connection:
            query = select(c.bytes).where(c.workspace == workspace, c.day == day)
            return connection.execute(query).scalar_one_or_none() or 0

    def usage(self, name: str) -> WorkspaceUsage:
        """Return what counts towards the quotas of a workspace."""
        counts = (count_runs(name, RUNNING), count_runs(name, QUEUED), count_dags(name))
        with self._statement(of_server=True) as connection:
            query = select(*(each.scalar_subquery() for each in counts))
            return WorkspaceUsage(*connection.execute(query).one())

    def members(self, workspace: str) -> Sequence[MemberRow]:
        """Return the members of a workspace, by username."""
        return self._members(t.workspace_members.c.workspace == workspace)

    def memberships(self, user_id: str) -> dict[str, str]:
        """Return the role of a user in each workspace that the user is a member of."""
        return {each.workspace: each.role for each in self._members(t.workspace_members.c.user_id == user_id)}

    def member_role(self, workspace: str, user_id: str) -> str:
        """Return the role of a user in a workspace other than the default one; empty if it is no member."""
        m = t.workspace_members.c
        with self._statement(of_server=True) as connection:
            query = select(m.role).where(m.workspace == workspace, m.user_id == user_id)
            return connection.execute(query).scalar_one_or_none() or ""

    def reserved_pools(self) -> dict[str, frozenset[str]]:
        """Return the workspaces that each reserved worker pool serves. Pools that are not reserved serve all."""
        with self._statement(of_server=True) as connection:
            return gathered(connection.execute(RESERVED))

    def _workspaces(self, where: ColumnElement[bool]) -> tuple[WorkspaceRow, ...]:
        columns = columns_of(t.workspaces, WorkspaceRow)
        query = select(*columns).where(where).order_by(bytewise(t.workspaces.c.name))
        with self._statement(of_server=True) as connection:
            return tuple(WorkspaceRow(*row) for row in connection.execute(query))

    def _members(self, where: ColumnElement[bool]) -> Sequence[MemberRow]:
        m, u = t.workspace_members.c, t.users.c
        query = (
            select(m.workspace, m.user_id, u.username, m.role)
            .join_from(t.workspace_members, t.users, u.id == m.user_id)
            .where(where)
            .order_by(bytewise(u.username), bytewise(m.workspace))
        )
        with self._statement(of_server=True) as connection:
            return tuple(MemberRow(*row) for row in connection.execute(query))
