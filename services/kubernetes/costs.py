"""Which pods get which deletion cost. Pure.

The ReplicaSet controller, which ends pods when a Deployment shrinks, begins with those of the lowest cost.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ANNOTATION", "CostChange", "WorkerPod", "cost_of", "due_changes", "worker_pod"]

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_METRICS = "metrics"
"""The name of the port in the manifests."""
_MOST_COST = 31
"""More than any worker reports, which has 10,000 slots at most. A wrong report must not make the annotation invalid."""


@dataclass(frozen=True, slots=True)
class WorkerPod:
    """A pod that a scale-in may end. ``cost`` is what its annotation says: 0 without one, ``None`` for no number."""

    name: str
    uid: str
    address: str
    port: int
    cost: int | None


@dataclass(frozen=True, slots=True)
class CostChange:
    """A pod, and the cost that it is to have."""

    pod: WorkerPod
    cost: int


def worker_pod(item: Mapping[str, Any]) -> WorkerPod | None:
    """Read a pod as the API returns it; ``None`` if its cost does not matter.

    It matters while the pod runs and is not being deleted, if a ReplicaSet has it: a StatefulSet removes the pod with
    the highest number, whatever it costs.
    """
    about, spec, status = (item.get(part) or {} for part in ("metadata", "spec", "status"))
    owners = [owner.get("kind") for owner in about.get("ownerReferences") or () if owner.get("controller")]
    containers = spec.get("containers") or ()
    ports = {port.get("name"): port["containerPort"] for each in containers for port in each.get("ports") or ()}
    address, port = status.get("podIP"), ports.get(_METRICS)
    if owners != ["ReplicaSet"] or about.get("deletionTimestamp") or status.get("phase") != "Running":
        return None
    if not address or not port:
        return None
    text = (about.get("annotations") or {}).get(ANNOTATION, "0")
    return WorkerPod(about["name"], about["uid"], address, port, _number(text))


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def cost_of(held: int) -> int:
    """Return the cost of a pod that holds this many attempts: 0, 1, 2 for 2 and 3, 3 for 4 to 7, and so on.

    Coarse, because each change is a write that every watcher of pods receives.
    """
    return min(held.bit_length(), _MOST_COST)


def due_changes(
    pods: Iterable[WorkerPod], held: Mapping[str, int], written: Mapping[str, float], *, now: float, rest_s: float
) -> list[CostChange]:
    """Return the changes to write now, the most urgent first.

    ``held``: the attempts of each pod by its uid; a pod that is missing keeps what it has.
    ``written``: when the last change of a pod was written.

    A pod that is no longer idle is the most urgent: it would be ended next. Any other change waits until the one before
    is ``rest_s`` old, so a pod changes twice in that time at most.
    """
    changes = [
        CostChange(pod, cost)
        for pod in pods
        if pod.uid in held
        and (cost := cost_of(held[pod.uid])) != pod.cost
        and (not pod.cost or now - written.get(pod.uid, -rest_s) >= rest_s)
    ]
    return sorted(changes, key=_urgency)


def _urgency(change: CostChange) -> tuple[bool, int]:
    return bool(change.pod.cost), -abs(change.cost - (change.pod.cost or 0))
