"""Counts open attempts by worker pool, so that each pool can be scaled by what its workers run or could run."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from shared.admission.workers import satisfies, worker_pool
from shared.contracts.worker_pools import DEFAULT_WORKER_POOL, valid_worker_pool
from shared.language.stored_selector import stored_selector
from shared.status import AttemptState
from shared.store.reads.backlog import Backlog

__all__ = ["NO_POOL", "PoolAttempts"]

NO_POOL = "no-pool"
"""Counts attempts that no pool should be scaled for. A pool cannot have this name: it contains a dash."""
_MOST_POOLS = 50
"""How many pools are named that have no workers: whoever may start a run can write any name into its selector."""
_KEPT = 10_000


class PoolAttempts:
    """Counts the open attempts of a backlog by pool and state.

    ``texts`` returns stored spec texts by hash. The text of a hash never changes, so each is read once.
    """

    def __init__(self, texts: Callable[[Iterable[str]], Mapping[str, str]]) -> None:
        self._texts = texts
        self._selectors: dict[str, Mapping[str, str]] = {}

    def count(self, backlog: Backlog) -> dict[tuple[str, str], int]:
        """Return the number of open attempts by pool and state, even if it is 0, for every pool that has workers.

        An attempt that a worker holds counts for the worker's pool. One that any worker may take counts for the pool
        that its selector means. If that pool has workers and none satisfies the selector, more of them would not help:
        it counts for ``NO_POOL``.

        Raises:
            StoreUnavailable: a spec cannot be read.
        """
        fleets: dict[str, list[Mapping[str, str]]] = {DEFAULT_WORKER_POOL: [], NO_POOL: []}
        for labels in backlog.worker_labels.values():
            fleet = fleets.setdefault(worker_pool(labels), [])
            if labels not in fleet:
                fleet.append(labels)
        states = (AttemptState.DISPATCHED, AttemptState.RUNNING)
        counts = Counter({(pool, str(state)): 0 for pool in fleets for state in states})
        selectors = self._read({each.spec_hash for each in backlog.open_attempts if each.spec_hash})
        for each in backlog.open_attempts:
            if each.worker_id is not None:
                pool = worker_pool(backlog.worker_labels.get(each.worker_id, {}))
            else:
                pool = _asked_pool(selectors.get(each.spec_hash, {}), fleets)
            counts[pool, each.state] += each.count
        surplus = sorted({pool for pool, _ in counts} - fleets.keys())[_MOST_POOLS:]
        for pool, state in [key for key in counts if key[0] in surplus]:
            counts[NO_POOL, state] += counts.pop((pool, state))
        return dict(counts)

    def _read(self, hashes: set[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the selectors of stored specs, by hash."""
        if len(self._selectors) > _KEPT:
            self._selectors.clear()
        if missing := hashes - self._selectors.keys():
            for each, text in self._texts(missing).items():
                self._selectors[each] = stored_selector(text)
        return self._selectors


def _asked_pool(selector: Mapping[str, str], fleets: Mapping[str, list[Mapping[str, str]]]) -> str:
    """Return the pool whose workers a selector means, or ``NO_POOL`` if none of them can satisfy it."""
    pool = worker_pool(selector)
    if not valid_worker_pool(pool):
        return NO_POOL
    fleet = fleets.get(pool)
    return pool if not fleet or any(satisfies(labels, selector) for labels in fleet) else NO_POOL
