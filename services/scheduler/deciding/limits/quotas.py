"""The quotas of workspaces in one transaction: how many runs may run or be queued, and how many DAGs there may be.

Only root runs count, since a run that waits for its sub-runs could never end if these did. A workspace with quotas is
locked before its runs or DAGs are counted, so several schedulers together do not exceed them.
"""

from collections import Counter

from shared.errors import Conflict
from shared.store.queries.runs import QUEUED, RUNNING
from shared.store.writes.transaction import Transaction
from shared.workspaces import DEFAULT

__all__ = ["DAGS_QUOTA", "QuotaExceeded", "Quotas"]

RUNNING_QUOTA, QUEUED_QUOTA, DAGS_QUOTA = "max_running", "max_queued", "max_dags"
_WHAT = {RUNNING_QUOTA: "running runs", QUEUED_QUOTA: "queued runs", DAGS_QUOTA: "DAGs"}


class QuotaExceeded(Conflict):
    """A workspace has as many runs or DAGs as it may have."""

    code = "quota_exceeded"


class Quotas:
    """Counts what the transaction finds and what it adds itself."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._limits: dict[str, dict[str, int | None]] = {}
        self._counted: dict[tuple[str, str], int] = {}
        self._added: Counter[tuple[str, str]] = Counter()

    def room(self, workspace: str, quota: str = RUNNING_QUOTA) -> int | None:
        """Return how many more the workspace may have; ``None``: any number."""
        limit = self._limits_of(workspace).get(quota)
        if limit is None:
            return None
        return max(0, limit - self._count(workspace, quota) - self._added[workspace, quota])

    def take(self, workspace: str, quota: str) -> None:
        """Count one more. Raises ``QuotaExceeded`` if there is no room for it."""
        if self.room(workspace, quota) == 0:
            limit = self._limits_of(workspace)[quota]
            raise QuotaExceeded(f"The workspace {workspace} may have at most {limit} {_WHAT[quota]}")
        if quota != DAGS_QUOTA:
            # DAGs are stored at once, runs when the transaction ends.
            self._added[workspace, quota] += 1

    def take_run(self, workspace: str, *, queued: bool) -> None:
        """Count a new root run, which is queued or starts. Raises ``QuotaExceeded``."""
        self.take(workspace, QUEUED_QUOTA if queued else RUNNING_QUOTA)

    def _limits_of(self, workspace: str) -> dict[str, int | None]:
        if workspace == DEFAULT:
            return {}
        if workspace not in self._limits:
            self._limits[workspace] = self._tx.workspaces.quotas(workspace) or {}
        return self._limits[workspace]

    def _count(self, workspace: str, quota: str) -> int:
        if quota == DAGS_QUOTA:
            return self._tx.workspaces.count_dags(workspace)
        key = workspace, quota
        if key not in self._counted:
            # Once in a transaction: it goes over the running or queued runs of all workspaces.
            status = RUNNING if quota == RUNNING_QUOTA else QUEUED
            self._counted[key] = self._tx.workspaces.count_runs(workspace, status)
        return self._counted[key]
