"""Whether a report about a step of a chain arrives before the report that its worker went on to it (ADR 63).

The end report of the step before tells that. It can be overtaken: it waits for its log, another transaction has locked
the run, or another scheduler has received it. Without it, the later report would count as stale and be lost.
"""

from collections.abc import Sequence

from services.scheduler.core.chains import before
from services.scheduler.core.model import Run
from services.scheduler.core.tasks import MOST_FOLLOWING
from services.scheduler.deciding.batch import Batch
from services.scheduler.deciding.events import load_runs
from shared.contracts.attempt_tokens import token_in_chain
from shared.contracts.events import AttemptFinished, AttemptGivenUp, Event

__all__ = ["ahead_of_chain"]


def ahead_of_chain(batch: Batch, events: Sequence[Event]) -> frozenset[str]:
    """Return the tokens of the attempts whose last report is among ``events``, but not the one of their start."""
    load_runs(batch, events)
    early: set[str] = set()
    told: set[str] = set()
    for event in events:
        if not isinstance(event, AttemptFinished | AttemptGivenUp):
            continue
        run = batch.runs.get(event.run_key)
        if run is not None and event.token not in told and _step_before_is_open(run, event):
            early.add(event.token)
        elif isinstance(event, AttemptFinished) and event.next_start is not None:
            told.add(event.next_start.token)
    return frozenset(early)


def _step_before_is_open(run: Run, event: Event) -> bool:
    """Whether an attempt of the same chain is open whose step comes before that of the report."""
    nodes: Sequence[int] = (event.node,)
    for _ in range(MOST_FOLLOWING):
        nodes = [earlier for idx in nodes for earlier in before(run, idx)]
        for idx in nodes:
            attempt = run.nodes[idx].attempt
            if attempt is not None and attempt.token == token_in_chain(event.token, idx):
                return True
    return False
