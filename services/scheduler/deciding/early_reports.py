"""Finds the reports of workers that have overtaken something that was sent before them on another way.

Log chunks have a broker queue of their own, so the report of an attempt's end can overtake them. And a report about a
step of a chain can overtake the end report of the step before, which tells that its worker went on (ADR 63): that one
waits for its log, another transaction has locked the run, or another scheduler has received it. Without it, the later
report would count as stale and be lost.
"""

from collections import Counter
from collections.abc import Sequence

from services.scheduler.core.chains import previous_nodes
from services.scheduler.core.model import Run
from services.scheduler.core.tasks import MOST_FOLLOWING
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import load_runs
from shared.contracts.attempt_tokens import token_in_chain
from shared.contracts.events import AttemptFinished, AttemptGivenUp, Event

__all__ = ["ahead_of_chain", "ahead_of_logs"]


def ahead_of_chain(batch: Batch, events: Sequence[Event]) -> frozenset[str]:
    """Return the tokens of the attempts whose last report is among ``events``, but not the one of their start."""
    load_runs(batch, events)
    early: set[str] = set()
    announced: set[str] = set()
    """Tokens of the next attempts, as the end reports among ``events`` name them."""
    for event in events:
        if not isinstance(event, AttemptFinished | AttemptGivenUp):
            continue
        run = batch.runs.get(event.run_key)
        if run is not None and event.token not in announced and _step_before_is_open(run, event):
            early.add(event.token)
        elif isinstance(event, AttemptFinished) and event.next_start is not None:
            announced.add(event.next_start.token)
    return frozenset(early)


def _step_before_is_open(run: Run, event: Event) -> bool:
    """Whether an attempt of the same chain is open whose step comes before that of the report."""
    nodes: Sequence[int] = (event.node,)
    for _ in range(MOST_FOLLOWING):
        nodes = [earlier for idx in nodes for earlier in previous_nodes(run, idx)]
        for idx in nodes:
            attempt = run.nodes[idx].attempt
            if attempt is not None and attempt.token == token_in_chain(event.token, idx):
                return True
    return False


def ahead_of_logs(batch: Batch, events: Sequence[AttemptFinished]) -> frozenset[str]:
    """Return the tokens of the open attempts whose log would still have a gap after these reports.

    Reports of workers that do not tell the size of the log count as complete, and so do stale ones.
    """
    sent_before = {event.token: sent for event in events if (sent := _sent_before(event))}
    if not sent_before:
        return frozenset()
    stored = batch.tx.runs.log_bytes(list(sent_before))
    late = [event for event in events if event.token in sent_before and sent_before[event.token] - stored[event.token]]
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
