"""The report of a campaign, as text."""

from collections import Counter
from collections.abc import Iterator

from tests.chaos.campaign import Outcome

__all__ = ["report"]

_SHOWN = 5
"""How many violations of each rule are printed."""


def report(outcome: Outcome) -> str:
    """Return the tables of a campaign: its faults by kind, its runs, and its checks."""
    return "\n".join(_lines(outcome)) + "\n"


def _lines(outcome: Outcome) -> Iterator[str]:
    plan = outcome.plan
    planned = Counter(fault.kind for fault in plan.faults)
    failed = Counter(strike.kind for strike in outcome.strikes if strike.error)
    done = Counter(strike.kind for strike in outcome.strikes if not strike.error)
    yield f"{plan.deployment}, seed {plan.seed}, {plan.seconds / 60:g} minutes"
    yield ""
    yield f"  {'fault':46} {'done':>5} {'not done':>9}"
    for kind in sorted(planned):
        yield f"  {kind:46} {done[kind]:5} {planned[kind] - done[kind]:9}"
    yield f"  {f'all, of {len(done)} kinds':46} {done.total():5} {planned.total() - done.total():9}"
    for strike in outcome.strikes:
        if strike.error:
            yield f"  not done: {strike.kind}: {strike.error.splitlines()[0][:150]}"
    if failed.total() < planned.total() - done.total():
        yield "  (the other faults that were not done were due when the time was over)"
    yield ""
    for what in ("runs", "nodes", "attempts", "commands", "transitions"):
        counts = outcome.counts[what]
        parts = ", ".join(f"{count} {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
        yield f"  {what:14} {sum(counts.values()):6}   {parts}"
    yield f"  {'replies':14} {outcome.replies.total():6}   " + ", ".join(
        f"{count} times {status}" for status, count in sorted(outcome.replies.items())
    )
    yield f"  {'executions':14} {outcome.executions:6}   by the ledger; {outcome.told} runs say 'may have run twice'"
    if outcome.undone:
        yield f"  {'failovers':14} {outcome.undone:6}   runs lost commits"
    yield f"  {'at rest':14} {outcome.rest_s:6.1f}   seconds after the last fault"
    yield ""
    yield f"  {'check':46} {'violations':>10}"
    for rule, texts in outcome.found.items():
        yield f"  {rule:46} {len(texts):10}"
    yield f"  ({outcome.looks} looks at the live system)"
    for rule, texts in outcome.found.items():
        for text in texts[:_SHOWN]:
            yield f"  VIOLATION {rule}: {text}"
        if len(texts) > _SHOWN:
            yield f"  ... and {len(texts) - _SHOWN} more of {rule}"
