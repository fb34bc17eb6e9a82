"""Counters of what this scheduler committed. Each event is counted by one replica: sum the counters over replicas.

Every series whose labels are known in advance starts at 0, so that its first event shows as an increase. If a scheduler
is killed, its counts since the last scrape are lost. For exact totals use ``dagu_dag_runs_total``, which is read from
the database.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import get_args

from prometheus_client import Counter, Gauge, Histogram, Summary
from prometheus_client.core import GaugeMetricFamily, Metric

from services.scheduler.core.decision import STALE_REASONS, ClosedAttempt
from services.scheduler.deciding.post_commit import PostCommit
from services.scheduler.pool_attempts import PoolAttempts
from shared.metrics import LATENCY_S, PHASE_S, DagNames
from shared.status import FireOutcome, RunStatus, WorkerState
from shared.store.reads.backlog import Backlog
from shared.store.scraped import Scraped
from shared.transport.base import AUDIT, COMMANDS, EVENT_SHARDS, EVENTS, HEARTBEATS, LOGS

__all__ = [
    "COMMANDS_RECORDED",
    "COMMAND_RECORD",
    "COMMAND_WAIT",
    "DEAD_LETTERS",
    "FIRES",
    "HEARTBEATS_UNREADABLE",
    "IGNORED",
    "JUDGED_AGE",
    "LEASES_LOST",
    "OUTBOX_SWEPT",
    "REPORTS_WITHOUT_LOG",
    "SCHEDULES_UNREADABLE",
    "VERIFIED_AT",
    "VIOLATIONS",
    "BacklogCollector",
    "count",
    "limit_dag_series",
]

_LONG_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 4 * 3600.0, 24 * 3600.0)
_KEPT_S = 5.0
"""The shortest time between two queries of the backlog, even if metrics are scraped more often."""
_WAIT_S = 4.0
"""How long a query of the backlog may keep a scrape waiting."""

RUNS_ENDED = Counter("dagway_dag_runs_ended", "DAG runs that reached a terminal status", ["status"])
RUNS_ENDED_BY_DAG = Counter(
    "dagway_dag_runs_ended_by_dag",
    "DAG runs that reached a terminal status, by DAG; DAGs beyond DAGWAY_METRICS_DAGS have the label other",
    ["dag", "status"],
)
RUN_SECONDS = Summary(
    "dagway_dag_run_seconds",
    "Seconds from start to end of a DAG run; DAGs beyond DAGWAY_METRICS_DAGS have the label other",
    ["dag"],
)
QUEUE_WAIT = Histogram(
    "dagway_queue_wait_seconds",
    "Seconds from queued to started of a DAG run",
    buckets=(*LATENCY_S, 900.0, 3600.0, 14400.0),
)
ATTEMPTS_CLOSED = Counter("dagway_attempts_closed", "Attempts that ended, by state and outcome", ["state", "outcome"])
DISPATCH = Histogram(
    "dagway_dispatch_seconds", "Seconds from the commit of a task to its start on a worker", buckets=LATENCY_S
)
ATTEMPT = Histogram(
    "dagway_attempt_seconds", "Seconds from the start of an attempt to its recorded end", buckets=_LONG_S
)
PHASE = Histogram(
    "dagway_run_phase_seconds",
    "Seconds of each phase of a run: from accepted (a gateway sends the command) to created, dispatched, started, "
    "ended (on the worker) and decided (recorded). In a chain the next step is dispatched when the one before is "
    "decided",
    ["phase"],
    buckets=PHASE_S,
)
REPORTS_WITHOUT_LOG = Counter(
    "dagway_reports_without_log",
    "Attempts whose end was recorded although a part of the log had not come for 30 s: look for dead letters",
)
TASKS_SENT = Counter("dagway_tasks_sent", "Tasks handed to the broker right after their commit")
IGNORED = Counter(
    "dagway_events_ignored", "Reports that changed nothing, by reason (stale tokens among them)", ["reason"]
)
REFUSED = Counter(
    "dagway_stale_writes_refused", "Reports about an attempt that is not open any more, or that another worker runs"
)
BEGUN_TWICE = Counter(
    "dagway_steps_begun_twice",
    "Steps that may have run twice: a worker began an attempt that was closed or held by another worker",
)
GRANTED = Counter(
    "dagway_attempts_granted", "Answers to workers that asked whether they may begin an attempt: they may"
)
COMMANDS_RECORDED = Counter(
    "dagway_commands_recorded", "Commands carried out or refused, by outcome, including repeated ones", ["outcome"]
)
COMMAND_WAIT = Histogram(
    "dagway_command_wait_seconds",
    "Seconds from a gateway's send of a command to its receipt by a scheduler",
    buckets=LATENCY_S,
)
COMMAND_RECORD = Histogram(
    "dagway_command_record_seconds",
    "Seconds that the transaction of a batch of commands takes, commit included",
    buckets=LATENCY_S,
)
OUTBOX_SWEPT = Counter("dagway_outbox_swept", "Messages sent late by the sweep instead of right after their commit")
LEASES_LOST = Counter("dagway_leases_lost", "Attempts whose worker stopped renewing its lease")
DEAD_LETTERS = Counter(
    "dagway_dead_letters", "Messages that could not be handled, kept as dead letters for an operator", ["broker_queue"]
)
HEARTBEATS_UNREADABLE = Counter(
    "dagway_heartbeats_unreadable", "Heartbeats of workers that this version cannot read or record; they renew no lease"
)
JUDGED_AGE = Gauge(
    "dagway_judged_age_seconds",
    "Age of the time up to which this scheduler has heard everything, so that it can judge whether workers are lost",
)
FIRES = Counter("dagway_fires", "Scheduled times by outcome: fired, skipped or missed", ["outcome"])
SCHEDULES_UNREADABLE = Counter(
    "dagway_schedules_unreadable",
    "Due schedules postponed by an hour because this version cannot read the DAG's stored spec",
)
VIOLATIONS = Gauge(
    "dagway_verify_violations",
    "What the last check of the database (DAGWAY_VERIFY_EVERY) found; only on the scheduler that checks",
    ["check"],
)
VERIFIED_AT = Gauge(
    "dagway_verify_last_run_timestamp_seconds", "When this scheduler last checked the database; 0: it does not check"
)

_phases = {
    name: PHASE.labels(name)
    for name in ("accepted_created", "created_dispatched", "dispatched_started", "started_ended", "ended_decided")
}
_dags = DagNames(0)

for _status in RunStatus:
    if not _status.active:
        RUNS_ENDED.labels(str(_status))
for _broker_queue in (COMMANDS, EVENTS, *EVENT_SHARDS, LOGS, AUDIT, HEARTBEATS):
    DEAD_LETTERS.labels(_broker_queue.name)
for _outcome in ("recorded", "refused"):
    COMMANDS_RECORDED.labels(_outcome)
for _fire in get_args(FireOutcome):
    FIRES.labels(_fire)


def limit_dag_series(limit: int) -> None:
    """Set how many DAGs get their own series in this process. Call it before the first run ends."""
    global _dags  # noqa: PLW0603 - one process, one registry of metrics
    _dags = DagNames(limit)


def count(after: PostCommit) -> None:
    """Count the events of one committed transaction."""
    for run in after.ended:
        dag, status = _dags.label(run.dag_name), str(run.status)
        RUNS_ENDED.labels(status).inc()
        RUNS_ENDED_BY_DAG.labels(dag, status).inc()
        if run.lasted_s is not None:
            _observe(RUN_SECONDS.labels(dag), run.lasted_s)
    for seconds in after.waited:
        _observe(QUEUE_WAIT, seconds)
    for seconds in after.accepted:
        _observe(_phases["accepted_created"], seconds)
    for seconds in after.begun:
        _observe(_phases["created_dispatched"], seconds)
    for closed in after.closed:
        _count_closed(closed, after.at)
    if after.outgoing:
        TASKS_SENT.inc(len(after.outgoing))
    for why in after.ignored:
        IGNORED.labels(why).inc()
        if why in STALE_REASONS:
            REFUSED.inc()
    if after.grants:
        GRANTED.inc(len(after.grants))
    if after.begun_beside:
        BEGUN_TWICE.inc(after.begun_beside)
    for outcome in after.fires:
        FIRES.labels(outcome).inc()


def _count_closed(closed: ClosedAttempt, decided_at: datetime) -> None:
    ATTEMPTS_CLOSED.labels(str(closed.state), closed.outcome or "").inc()
    if closed.started_at is None:
        return
    waited_s = (closed.started_at - closed.dispatched_at).total_seconds()
    _observe(DISPATCH, waited_s)
    _observe(ATTEMPT, (decided_at - closed.started_at).total_seconds())
    if closed.ended_at is not None:
        _observe(_phases["dispatched_started"], waited_s)
        _observe(_phases["started_ended"], (closed.ended_at - closed.started_at).total_seconds())
        _observe(_phases["ended_decided"], (decided_at - closed.ended_at).total_seconds())


def _observe(metric: Histogram | Summary, seconds: float) -> None:
    # The clocks of the processes may differ, but a time must not be negative.
    metric.observe(max(0.0, seconds))


class BacklogCollector:
    """Reports the backlog in the database. Every scheduler reports the same values: use their maximum, not the sum.

    While the database is unavailable or hangs, ``dagway_database_up`` is 0 and the other metrics are absent.
    """

    def __init__(
        self,
        ask: Callable[[datetime], Backlog],
        texts: Callable[[Iterable[str]], Mapping[str, str]],
        clock: Callable[[], datetime],
    ) -> None:
        pools = PoolAttempts(texts)

        def backlog_and_attempts() -> tuple[Backlog, dict[tuple[str, str], int]]:
            backlog = ask(clock())
            return backlog, pools.count(backlog)

        self._asked = Scraped(backlog_and_attempts, kept_s=_KEPT_S, wait_s=_WAIT_S)

    def collect(self) -> Iterable[Metric]:
        asked = self._asked.get()
        yield GaugeMetricFamily(
            "dagway_database_up",
            "1 if this scheduler's last query of the backlog succeeded, else 0",
            value=int(asked is not None),
        )
        if asked is None:
            return
        backlog, attempts_of = asked
        for name, help_text, value in (
            ("outbox_messages", "Messages in the outbox, not confirmed by the broker", backlog.outbox_rows),
            ("outbox_age_seconds", "Age of the oldest message in the outbox", backlog.outbox_age_s),
            ("queued_dag_runs", "DAG runs that wait to be admitted", backlog.queued_runs),
            ("oldest_queued_seconds", "How long the oldest queued DAG run has waited", backlog.oldest_queued_s),
            ("running_dag_runs", "DAG runs with status running", backlog.running_runs),
            (
                "outstanding_work",
                "Queued DAG runs plus open attempts: the work that needs workers",
                backlog.queued_runs + sum(attempts_of.values()),
            ),
            ("worker_slots_live", "Slots of all workers that take work", backlog.slots),
            ("schedulers_live", "Schedulers whose last heartbeat is at most 30 s old", backlog.schedulers),
            ("timers_overdue", "Timers more than 10 s late", backlog.timers_overdue),
        ):
            yield GaugeMetricFamily(f"dagway_{name}", help_text, value=value)
        attempts = GaugeMetricFamily(
            "dagway_open_attempts",
            "Attempts that have not ended, by state and worker pool. no-pool: no worker of the pool fits the selector",
            labels=["state", "worker_pool"],
        )
        for (pool, state), number in sorted(attempts_of.items()):
            attempts.add_metric([state, pool], number)
        yield attempts
        workers = GaugeMetricFamily("dagway_workers", "Workers that have sent a heartbeat, by state", labels=["state"])
        for state in sorted({*get_args(WorkerState), *backlog.workers}):
            workers.add_metric([state], backlog.workers.get(state, 0))
        yield workers
