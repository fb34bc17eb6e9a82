"""Looks at all workers' pods every few seconds, and annotates those whose deletion cost has changed."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from services.kubernetes.cluster_api import ClusterApi, ClusterUnavailable
from services.kubernetes.costs import CostChange, WorkerPod, due_changes
from services.kubernetes.held_attempts import held_attempts
from services.kubernetes.metrics import DeletionCostCounts

__all__ = ["DeletionCosts"]

_log = logging.getLogger(__name__)
_READERS = 32
_MOST_CHANGES = 200
"""For each look: when a thousand workers become busy at once, the API gets their changes over a minute."""
_LOOKS_OF_REST = 4


class DeletionCosts:
    """Works on the pods that the label selector ``selector`` selects.

    ``connect`` returns a connection to the cluster's API, a new one for each look at the pods.

    A failed look needs no repair: the next one begins anew, from what the annotations say.
    """

    def __init__(self, connect: Callable[[], ClusterApi], selector: str, *, every_s: float) -> None:
        self.counts = DeletionCostCounts()
        self.trouble = "the workers' pods have not been checked yet"
        """Why the last look failed; empty if it did not."""
        self._connect = connect
        self._selector = selector
        self._every_s = every_s
        self._written: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Look at the pods until ``stop`` is set. Returns a few seconds later at most."""
        with ThreadPoolExecutor(_READERS, thread_name_prefix="read-pod") as readers:
            while not stop.is_set():
                began = time.monotonic()
                try:
                    trouble = self._look(readers, stop)
                except ClusterUnavailable as error:
                    trouble = str(error)
                self._note(trouble)
                stop.wait(max(0.0, began + self._every_s - time.monotonic()))

    def _note(self, trouble: str) -> None:
        if trouble and trouble != self.trouble:
            _log.warning("deletion_costs.look_failed", extra={"error": trouble, "next": "see docs/operations/drain.md"})
        elif self.trouble and not trouble:
            _log.info("deletion_costs.look_ended")
        self.trouble = trouble

    def _look(self, readers: ThreadPoolExecutor, stop: threading.Event) -> str:
        with self._connect() as cluster:
            pods = list(cluster.worker_pods(self._selector))
            there = {pod.uid for pod in pods}
            self._written = {uid: at for uid, at in self._written.items() if uid in there}
            held = self._held(pods, readers, stop)
            if stop.is_set():
                return self.trouble
            rest_s = _LOOKS_OF_REST * self._every_s
            changes = due_changes(pods, held, self._written, now=time.monotonic(), rest_s=rest_s)
            for change in islice(changes, _MOST_CHANGES):
                if stop.is_set():
                    return self.trouble
                self._write(cluster, change)
        if pods and not held:
            return "no worker's pod says how many attempts it holds: does a network policy forbid the connection?"
        self.counts.last_pass_at = time.time()
        return ""

    def _held(self, pods: Sequence[WorkerPod], readers: ThreadPoolExecutor, stop: threading.Event) -> dict[str, int]:
        def read(pod: WorkerPod) -> int | None:
            return None if stop.is_set() else held_attempts(pod)

        held = {}
        for pod, found in zip(pods, readers.map(read, pods), strict=True):
            self.counts.reads["failed" if found is None else "read"] += 1
            if found is not None:
                held[pod.uid] = found
        return held

    def _write(self, cluster: ClusterApi, change: CostChange) -> None:
        """Write one change. The first one that fails ends this look, so that an overloaded API gets a pause."""
        pod = change.pod
        try:
            outcome = cluster.write(change)
        except ClusterUnavailable as error:
            self.counts.patches["refused" if 400 <= error.status < 500 else "failed"] += 1
            raise
        self.counts.patches[outcome] += 1
        self._written[pod.uid] = time.monotonic()
        _log.debug("deletion_costs.changed", extra={"pod": pod.name, "was": pod.cost, "cost": change.cost})
