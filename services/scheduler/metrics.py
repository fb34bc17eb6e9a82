"""Counters of what this scheduler committed: summing them over replicas counts each event once."""

from prometheus_client import Counter

from services.scheduler.batch import Aftermath

__all__ = ["DEAD_LETTERS", "IGNORED", "LEASES_LOST", "OUTBOX_SWEPT", "count"]

RUNS_ENDED = Counter("dagway_dag_runs_ended", "DAG-runs that reached a terminal status", ["status"])
ATTEMPTS_CLOSED = Counter("dagway_attempts_closed", "Attempts that ended, by state and outcome", ["state", "outcome"])
TASKS_SENT = Counter("dagway_tasks_sent", "Tasks handed to the broker right after their commit")
IGNORED = Counter(
    "dagway_events_ignored", "Reports that changed nothing, by reason (stale tokens among them)", ["reason"]
)
OUTBOX_SWEPT = Counter("dagway_outbox_swept", "Messages sent late by the sweep instead of right after their commit")
LEASES_LOST = Counter("dagway_leases_lost", "Attempts whose worker stopped renewing its lease")
DEAD_LETTERS = Counter("dagway_dead_letters", "Messages put aside for a person", ["route"])


def count(after: Aftermath) -> None:
    """Count what one committed transaction did."""
    for _, status in after.ended:
        RUNS_ENDED.labels(str(status)).inc()
    for closed in after.closed:
        ATTEMPTS_CLOSED.labels(str(closed.state), closed.outcome or "").inc()
    if after.outgoing:
        TASKS_SENT.inc(len(after.outgoing))
    for why in after.ignored:
        IGNORED.labels(why).inc()
