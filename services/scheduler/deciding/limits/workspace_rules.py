"""Rules of administrators about workspaces, which decisions about runs need: kept in memory.

Reading them for each decision would cost two more statements a step. They are read with each pass over the leases, at
most 4 s apart, and after a command of this scheduler that changes them. So other schedulers follow a change within 4 s.
"""

from collections.abc import Mapping
from threading import Lock

from shared.store.writes.transaction import Transaction

__all__ = ["WorkspaceRules"]


class WorkspaceRules:
    """The rules as this scheduler last read them. ``None``: not read yet; then transactions read them themselves."""

    def __init__(self) -> None:
        self._rules: tuple[Mapping[str, frozenset[str]], Mapping[str, int]] | None = None
        self._lock = Lock()
        self._begun = self._kept = 0
        """How many reads have begun, and which of them found the rules that are kept."""

    def read(self, tx: Transaction) -> None:
        """Read the rules and keep them, unless a read that began later, in another thread, has ended before."""
        with self._lock:
            self._begun += 1
            mine = self._begun
        rules = tx.workspaces.rules()
        with self._lock:
            if mine > self._kept:
                self._kept, self._rules = mine, rules

    def reserved(self, tx: Transaction) -> Mapping[str, frozenset[str]]:
        """Return the workspaces that each reserved worker pool serves."""
        return (self._rules or tx.workspaces.rules())[0]

    def log_quotas(self, tx: Transaction) -> Mapping[str, int]:
        """Return the quotas of the workspaces that have one of the bytes of logs of one day."""
        return (self._rules or tx.workspaces.rules())[1]
