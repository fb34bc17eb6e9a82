"""Whether the whole log of an attempt is stored when the report of its end arrives.

Log chunks travel on a broker queue of their own, so the report can overtake them.
"""

from collections import Counter
from collections.abc import Sequence

from services.scheduler.deciding.batch import Batch
from shared.contracts.events import AttemptFinished

__all__ = ["ahead_of_logs"]


def ahead_of_logs(batch: Batch, events: Sequence[AttemptFinished]) -> frozenset[str]:
    """Return the tokens of the open attempts whose log would still have a gap after these reports.

    Reports of workers that do not tell the size of the log count as complete, and so do stale ones.
    """
    before = {event.token: sent for event in events if (sent := _sent_before(event))}
    if not before:
        return frozenset()
    stored = batch.tx.runs.log_bytes(list(before))
    late = [event for event in events if event.token in before and before[event.token] - stored[event.token]]
    batch.runs.load(event.run_key for event in late)
    # The attempts that a worker went on to are not open before these reports are recorded.
    begun = {event.next_start.token for event in events if event.next_start is not None}
    return frozenset(event.token for event in late if event.token in begun or _is_open(batch, event))


def _sent_before(event: AttemptFinished) -> Counter[str]:
    """Return how many bytes of each stream were sent before the report, without those that it carries."""
    sent = Counter(event.log_bytes or {})
    for chunk in event.logs:
        sent[chunk.stream] -= len(chunk.data)
    return +sent


def _is_open(batch: Batch, event: AttemptFinished) -> bool:
    run = batch.runs.get(event.run_key)
    if run is None or event.node >= len(run.nodes):
        return False
    attempt = run.nodes[event.node].attempt
    return attempt is not None and attempt.token == event.token
