"""The ``dagu_*`` metrics, read from the database at each scrape (as in Dagu's REST API v2).

Counts cover the whole history, not only today. Counts of ended runs only grow: removed runs and the earlier ends of
retried runs stay counted (``shared.run_totals``). ``dagu_dag_runs_total`` has two alias series, ``success`` and
``error``, for queries that use these names: a sum over all series counts succeeded and failed runs twice.
"""

import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from services.api.caches.run_totals import Histogram
from shared.metrics import DagNames, fold
from shared.run_totals import DURATION_BOUNDS_S, WAIT_BOUNDS_S
from shared.status import RunStatus

if TYPE_CHECKING:
    from services.api.deps import Deps

__all__ = ["COUNTED_BY_DAG", "MEDIA_TYPE", "families", "render"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTED_BY_DAG = "dagu_dag_runs_total_by_dag"
"""Written as an untyped metric, because prometheus_client would add ``_total`` to the name of a counter."""
_ALIASES: Mapping[str, RunStatus] = {"success": RunStatus.SUCCEEDED, "error": RunStatus.FAILED}

_process = CollectorRegistry()
ProcessCollector(registry=_process)
PlatformCollector(registry=_process)
GCCollector(registry=_process)


class _Snapshot:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def render(deps: "Deps", now: datetime) -> bytes:
    """Return the text for Prometheus. Raises ``StoreUnavailable`` while the database cannot be reached."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(families(deps, now)))
    untyped, counter = (f"# TYPE {COUNTED_BY_DAG} {kind}\n".encode() for kind in ("untyped", "counter"))
    return generate_latest(registry).replace(untyped, counter) + generate_latest(_process)


def families(deps: "Deps", now: datetime) -> list[Metric]:
    """Return the ``dagu_*`` series. Raises ``StoreUnavailable`` while the database cannot be reached."""
    return [*_runs(deps), *_system(deps, now)]


def _runs(deps: "Deps") -> Iterable[Metric]:
    active, names = deps.reads.active_counts(), deps.totals.names
    ended, durations_by_dag, waits_by_dag = deps.totals.get(deps.reads, {*active.running, *active.queued})
    by_dag = {
        **ended,
        **{(name, RunStatus.RUNNING): runs for name, runs in active.running.items()},
        **{(name, RunStatus.QUEUED): runs for name, runs in active.queued.items()},
    }
    yield _gauge("dagu_dag_runs_currently_running", "DAG runs that are running", sum(active.running.values()))
    yield _gauge("dagu_dag_runs_queued_total", "DAG runs waiting in all queues", sum(active.queued.values()))
    yield _gauge("dagu_dags_total", "DAG definitions", active.dags)
    yield _gauge("dagway_faulty_dags", "DAG definitions whose spec has errors: they start no run", active.faulty_dags)
    yield _by_status(by_dag)
    yield from _by_dag(names, fold(names, active.running), fold(names, active.queued), by_dag)
    yield _gauge(
        "dagway_dags_folded",
        "DAGs with runs that share the label other, because there are more than DAGWAY_METRICS_DAGS",
        deps.totals.folded,
    )
    durations, waits = _folded(names, durations_by_dag), _folded(names, waits_by_dag)
    yield _histogram("dagu_dag_run_duration_seconds", "How long ended DAG runs took", durations, DURATION_BOUNDS_S)
    yield _histogram("dagu_queue_wait_seconds", "How long DAG runs were queued", waits, WAIT_BOUNDS_S)


def _by_status(runs_by_dag: Mapping[tuple[str, RunStatus], int]) -> Metric:
    totals = dict.fromkeys(RunStatus, 0)
    for (_, status), runs in runs_by_dag.items():
        totals[status] += runs
    counter = CounterMetricFamily(
        "dagu_dag_runs",
        "DAG runs by status, over the whole history: ended runs by their final status, others by their current one. "
        "The series success and error repeat succeeded and failed: a sum over all series counts these runs twice",
        labels=["status"],
    )
    for status, runs in totals.items():
        counter.add_metric([status.value], runs)
    for alias, status in _ALIASES.items():
        counter.add_metric([alias], totals[status])
    return counter


def _by_dag(
    labels: DagNames,
    running_by: Mapping[str, int],
    queued_by: Mapping[str, int],
    runs_by_dag: Mapping[tuple[str, RunStatus], int],
) -> Iterable[Metric]:
    counted: dict[tuple[str, RunStatus], int] = {}
    for (name, status), runs in runs_by_dag.items():
        if label := labels.label(name):
            counted[label, status] = counted.get((label, status), 0) + runs
    running = GaugeMetricFamily("dagu_dag_runs_currently_running_by_dag", "Running DAG runs by DAG", labels=["dag"])
    queued = GaugeMetricFamily("dagu_dag_runs_queued_by_dag", "Queued DAG runs by DAG", labels=["dag"])
    for name in sorted({*running_by, *queued_by, *(name for name, _ in counted)}):
        running.add_metric([name], running_by.get(name, 0))
        queued.add_metric([name], queued_by.get(name, 0))
    yield running
    yield queued
    per_dag = Metric(COUNTED_BY_DAG, "DAG runs by DAG and status, over the whole history", "unknown")
    for (name, status), runs in sorted(counted.items()):
        per_dag.add_sample(COUNTED_BY_DAG, {"dag": name, "status": status.value}, runs)
    yield per_dag


def _system(deps: "Deps", now: datetime) -> Iterable[Metric]:
    info = GaugeMetricFamily(
        "dagu_info", "Build information; go_version has the version of Python", labels=["version", "go_version"]
    )
    info.add_metric([deps.version, f"python{platform.python_version()}"], 1)
    yield info
    yield _gauge("dagu_uptime_seconds", "Seconds since the gateway started", deps.uptime_s())
    schedulers = deps.reads.schedulers(since=now - deps.service_alive)
    yield _gauge("dagu_scheduler_running", "1 if a scheduler is live, else 0", int(bool(schedulers)))
    cache = GaugeMetricFamily(
        "dagu_cache_entries_total",
        "Entries in the gateway's caches; API keys and webhooks are read at each use and not cached",
        labels=["cache"],
    )
    kept = {"dag_definition": len(deps.specs), "dag_run_status": len(deps.summaries), "api_key": 0, "webhook": 0}
    for name, entries in kept.items():
        cache.add_metric([name], entries)
    yield cache


def _histogram(name: str, help_text: str, by_dag: Histogram, bounds: tuple[float, ...]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, help_text, labels=["dag"])
    names = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    for dag, (counts, total) in sorted(by_dag.items()):
        family.add_metric([dag], list(zip(names, counts, strict=True)), total)
    return family


def _folded(names: DagNames, by_dag: Histogram) -> Histogram:
    found: dict[str, tuple[tuple[int, ...], float]] = {}
    for dag, (counts, total) in by_dag.items():
        if not (label := names.label(dag)):
            continue
        if label not in found:
            found[label] = (counts, total)
        else:
            others, other_total = found[label]
            found[label] = (tuple(map(sum, zip(counts, others, strict=True))), total + other_total)
    return found


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_text, value=value)
