"""Which worker pools are reserved for some workspaces."""

from collections.abc import Mapping

from services.scheduler.deciding.limits.workspace_rules import WorkspaceRules
from shared.admission.workers import NotServed, not_served
from shared.errors import Conflict
from shared.store.writes.transaction import Transaction
from shared.workspaces import workspace_of

__all__ = ["PoolReserved", "ServedPools"]


class PoolReserved(Conflict):
    """A run needs a worker pool that is reserved for other workspaces."""

    code = "conflict"


class ServedPools:
    """The reservations of worker pools. The one place where the scheduler asks whether a run may use a pool."""

    def __init__(self, tx: Transaction, rules: WorkspaceRules) -> None:
        self._tx = tx
        self._rules = rules
        self._changed = False

    def change(self) -> None:
        """Note that this transaction changes reservations, which count for the rest of it."""
        self._changed = True

    @property
    def reserved(self) -> Mapping[str, frozenset[str]]:
        """The workspaces that each reserved pool serves."""
        return self._tx.workspaces.reserved_pools() if self._changed else self._rules.reserved(self._tx)

    def bars(self, dag_name: str, selector: Mapping[str, str]) -> NotServed | None:
        """Return why the workers of ``selector`` take no tasks of runs of this DAG; ``None`` if they do."""
        return not_served(selector, workspace_of(dag_name), self.reserved)

    def check(self, dag_name: str, selector: Mapping[str, str]) -> None:
        """Raise ``PoolReserved`` if ``bars`` returns a reason."""
        if (found := self.bars(dag_name, selector)) is not None:
            raise PoolReserved(str(found)[0].upper() + str(found)[1:])
