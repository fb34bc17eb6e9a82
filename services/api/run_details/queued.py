"""Says what queued runs wait for."""

from collections.abc import Sequence
from datetime import datetime

from services.api.deps import Deps
from services.api.run_details.reasons import waiting_for
from services.api.run_details.specs import dags_of_runs
from shared.store.reads.reader import RunRow

__all__ = ["queued_reasons"]


def queued_reasons(deps: Deps, queued: Sequence[RunRow], now: datetime) -> dict[str, str]:
    """Return, by run key, what each of these queued runs waits for."""
    if not queued:
        return {}
    facts = deps.reads.wait_facts([run.run_key for run in queued], [run.queue for run in queued], now)
    dags = dags_of_runs(deps, queued)
    return {run.run_key: waiting_for(run, dags[run.run_key], facts, now) for run in queued}
