"""Links new entries of the audit log into one hash chain, and removes old entries.

A command commits its entry unlinked, so commands never wait for each other's place in the chain. One scheduler at a
time, the one that gets the chain's lock, links what is there in order of time (ADR 21).
"""

import logging
import threading
import time
from contextlib import suppress

from services.scheduler.commands.audited import entry_of_system
from services.scheduler.deciding.post_commit import PostCommit
from shared.audit.chain import linked
from shared.contracts.audit import AuditTarget
from shared.errors import AlreadyExists, StoreUnavailable
from shared.store.writes.audit import audit_rows
from shared.store.writes.transaction import Store

__all__ = ["AuditChain"]

_log = logging.getLogger(__name__)

_GATHER_S = 0.2
"""How long to wait after a commit, so that one pass links the entries of many commits."""
_BETWEEN_S = 1.0
"""The least time between two passes: a busy system has entries all the time."""
_PRUNE_S = 600.0
_AT_ONCE = 500


class AuditChain:
    """Runs in one thread of every scheduler. ``keep_days``: how long entries are kept; 0 keeps them for ever."""

    def __init__(self, store: Store, *, keep_days: int = 0) -> None:
        self._store = store
        self._keep_days = keep_days
        self._awake = threading.Event()

    def follow(self, after: PostCommit) -> None:
        if after.audited:
            self._awake.set()

    def link(self) -> int:
        """Link all entries that are not in the chain; return how many.

        Does nothing while another scheduler links. Raises ``StoreUnavailable``.
        """
        count = 0
        while True:
            with self._store.begin() as tx:
                if not tx.audit.any_unlinked() or not tx.audit.lock_chain():
                    return count
                entries = tx.audit.take_unlinked(_AT_ONCE)
                tx.audit.append(list(linked(tx.audit.end_of_chain(), entries)))
            count += len(entries)
            if len(entries) < _AT_ONCE:
                return count

    def prune(self) -> int:
        """Remove entries that are too old, and record that in the log; return how many. Raises ``StoreUnavailable``."""
        removed = 0
        while self._keep_days:
            with self._store.begin() as tx:
                some = tx.audit.prune(self._keep_days, _AT_ONCE) if tx.audit.lock_chain() else 0
                if some:
                    facts = {"removed": some, "keep_days": self._keep_days}
                    tx.write(*audit_rows([entry_of_system("audit.prune", AuditTarget(kind="audit"), facts)]))
            removed += some
            if some < _AT_ONCE:
                break
        if removed:
            _log.info("audit.pruned", extra={"entries": removed})
        return removed

    def wake(self) -> None:
        """Let ``run`` look for entries: also those that another scheduler did not link, because it was killed."""
        self._awake.set()

    def run(self, stop: threading.Event) -> None:
        """Run until ``stop``, then link a last time; the body of a background thread."""
        next_prune = next_pass = time.monotonic()
        while not stop.is_set():
            if self._awake.wait(max(0.0, next_prune - time.monotonic())):
                stop.wait(max(_GATHER_S, next_pass - time.monotonic()))
            if stop.is_set():
                break
            self._awake.clear()
            try:
                self.link()
                if time.monotonic() >= next_prune:
                    self.prune()
                    next_prune = time.monotonic() + _PRUNE_S
            except (StoreUnavailable, AlreadyExists) as error:
                _log.warning("audit_chain.waits", extra={"error": str(error)})
                self._awake.set()
                stop.wait(1)
            next_pass = time.monotonic() + _BETWEEN_S
        with suppress(StoreUnavailable, AlreadyExists):
            self.link()
