"""The sub-runs that the steps of a run called: in the last repetition of a step, and in earlier repetitions."""

from collections.abc import Iterator, Mapping, Sequence

from shared.contracts.tasks import STEP
from shared.store.reads.reader import NodeRow, Reads, RunRow

__all__ = ["called_earlier", "called_runs", "has_called_earlier"]

Called = tuple[str, str]
"""Id and parameters of a sub-run."""


def called_earlier(reads: Reads, run: RunRow) -> Mapping[int, Sequence[Called]]:
    """Return, by node index, the sub-runs that earlier repetitions of each repeated step called."""
    repeated = [node for node in run.nodes or () if _repeated(node)]
    if not repeated:
        return {}
    earlier = _earlier(reads, run)
    return {node.idx: earlier.get(node.idx, ()) for node in repeated}


def has_called_earlier(run: RunRow) -> bool:
    """Return whether ``called_earlier`` has to read sub-runs."""
    return any(map(_repeated, run.nodes or ()))


def called_runs(reads: Reads, run: RunRow) -> Iterator[Called]:
    """Yield all sub-runs that a run called, node by node; within a node, those of the last repetition first."""
    earlier = _earlier(reads, run)
    for node in run.nodes or ():
        yield from node.children
        yield from earlier.get(node.idx, ())


def _repeated(node: NodeRow) -> bool:
    if node.kind != STEP:
        return False
    return bool(node.children) and (node.done_count > 1 or (node.done_count == 1 and node.finished_at is None))


def _earlier(reads: Reads, run: RunRow) -> dict[int, list[Called]]:
    current = {run_id for node in run.nodes or () for run_id, _ in node.children}
    found: dict[int, list[Called]] = {}
    for node, run_id, params in reads.called_runs(run.root_key or run.run_key, run.run_key):
        if node is not None and run_id not in current:
            found.setdefault(node, []).append((run_id, params))
    return found
