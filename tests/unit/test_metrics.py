"""Metrics have descriptions, bounded labels and documentation, and count each event once."""

import re
import shutil
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from scripts.metrics_doc import TARGET, catalogue, document, series_names
from services.scheduler import metrics
from services.scheduler.core.decision import ClosedAttempt
from services.scheduler.deciding.post_commit import EndedRun, PostCommit
from services.scheduler.metrics import BacklogCollector, count, limit_dag_series
from shared.admin_server import admin_registry
from shared.disk import Volume
from shared.errors import StoreUnavailable
from shared.metrics import DagNames, ProcessCollector, fold
from shared.status import AttemptState, Begun, RunStatus
from shared.store.reads.backlog import Backlog, OpenAttempts
from shared.store.scraped import Scraped
from tests.harness.eventually import PATIENCE_S, eventually

_NOW = datetime(2026, 3, 1, tzinfo=UTC)
_ROOT = Path(__file__).parents[2]


def test_the_page_says_what_the_program_measures() -> None:
    assert TARGET.read_text() == document(), "run python -m scripts.metrics_doc"


def test_every_metric_says_what_it_means_in_a_unit() -> None:
    for metrics_of in catalogue().values():
        for metric in metrics_of:
            assert len(metric.documentation) > 10, metric.name
            if metric.type in {"histogram", "summary"}:
                assert metric.name.endswith("_seconds"), metric.name


def test_the_room_of_a_pod_is_what_its_volume_allows_and_the_disk_below_it_has(tmp_path: Path) -> None:
    disk = shutil.disk_usage(tmp_path)

    def room(limit: int, used: int) -> tuple[float | None, float | None]:
        volume = Volume(tmp_path / "not made yet", limit, lambda: used)
        read = admin_registry([ProcessCollector("worker", "0", None, volume)]).get_sample_value
        return read("dagway_disk_size_bytes"), read("dagway_disk_free_bytes")

    assert disk.free > 1 << 20
    assert room(1 << 20, 1_000_000) == (1 << 20, (1 << 20) - 1_000_000)
    assert room(1 << 20, 2 << 20) == (1 << 20, 0), "it has outgrown its limit"
    assert room(disk.total * 2, 0)[0] == disk.total == room(0, 0)[0]
    size, free = room(disk.total * 2, 0)
    assert free is not None
    assert size is not None
    assert free < size, "the disk has other files too"


_LABELS = {
    "status",
    "state",
    "outcome",
    "reason",
    "broker_queue",
    "phase",
    "queue_kind",
    "worker_pool",
    "dag",
    "operation",
    "code",
    "kind",
    "le",
    "answer",
    "check",
    "expected",
    "found",
} | {"service", "version", "python", "go_version", "cache", "quantile"}


def test_no_label_could_grow_but_the_dags() -> None:
    labels = {
        label for found in catalogue().values() for one in found for sample in one.samples for label in sample.labels
    }

    assert labels <= _LABELS


def test_pages_for_operators_name_labels_that_metrics_have() -> None:
    pages = [TARGET, *_ROOT.glob("docs/operations/*.md"), *_ROOT.glob("docs/runbooks/*.md")]
    named = {label for page in pages for label in re.findall(r'(?:`(?=\w+=")|label `)(\w+)(?:="|`)', page.read_text())}

    assert named >= {"reason", "worker_pool"}
    assert named - _LABELS == {"site"}, "which Prometheus adds"


def test_the_library_is_used_in_metrics_modules_only() -> None:
    users = {
        path.relative_to(_ROOT).as_posix()
        for folder in ("services", "shared")
        for path in (_ROOT / folder).rglob("*.py")
        if "prometheus_client" in path.read_text()
    }

    assert users == {
        "services/api/observability/dagu_metrics.py",
        "services/api/observability/request_metrics.py",
        # It reads the metrics of others.
        "services/kubernetes/held_attempts.py",
        "services/kubernetes/metrics.py",
        "services/processes/admin.py",
        "services/processes/api.py",
        "services/scheduler/metrics.py",
        "services/worker/reporting/metrics.py",
        "shared/metrics.py",
        "shared/store/clock_metric.py",
        "shared/admin_server.py",
        "shared/store/reads/schema_metric.py",
        "shared/store/room_metrics.py",
    }


def test_the_first_dags_have_their_own_label_and_keep_it() -> None:
    names = DagNames(2)

    assert [names.label(name) for name in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]
    assert fold(names, {"a": 1, "c": 2, "d": 3}) == {"a": 1, "other": 5}


def test_the_largest_dags_come_first_when_many_are_met_at_once() -> None:
    names = DagNames(2)
    names.admit({"small": 1, "large": 9, "middle": 5})

    assert [names.label(name) for name in ("small", "large", "middle")] == ["other", "large", "middle"]


def _ended(dag: str, status: RunStatus = RunStatus.SUCCEEDED, lasted_s: float | None = None) -> EndedRun:
    return EndedRun("k", dag, "r", status, is_root=True, lasted_s=lasted_s)


def test_ten_thousand_dags_make_no_more_series_than_allowed() -> None:
    limit_dag_series(50)
    after = PostCommit(ended=[_ended(f"dag-{number}") for number in range(10_000)])
    count(after)

    dags = {sample.labels["dag"] for one in metrics.RUNS_ENDED_BY_DAG.collect() for sample in one.samples}
    assert len([dag for dag in dags if dag.startswith("dag-")]) == 50
    assert "other" in dags


def _value(name: str, **labels: str) -> float:
    return admin_registry([]).get_sample_value(name, labels) or 0.0


def test_a_commit_is_counted_once_with_its_times() -> None:
    before = _value("dagway_dag_runs_ended_total", status="failed"), _value("dagway_dispatch_seconds_sum")
    refused = _value("dagway_stale_writes_refused_total")
    closed = ClosedAttempt(
        "t", 0, 1, 1, AttemptState.FINISHED, "failed", "w", "i", 1, "", _NOW, _NOW + timedelta(seconds=2), Begun.YES
    )
    count(
        PostCommit(
            at=_NOW + timedelta(seconds=7),
            ended=[_ended("d", RunStatus.FAILED)],
            closed=[closed],
            ignored=["stale token", "held by another", "already begun"],
        )
    )

    assert _value("dagway_dag_runs_ended_total", status="failed") == before[0] + 1
    assert _value("dagway_dispatch_seconds_sum") == before[1] + 2
    assert _value("dagway_stale_writes_refused_total") == refused + 2


def test_a_clock_that_was_set_back_takes_nothing_from_a_total() -> None:
    def totals() -> list[float]:
        families = (*metrics.RUN_SECONDS.collect(), *metrics.QUEUE_WAIT.collect())
        return [sample.value for family in families for sample in family.samples if sample.name.endswith("_sum")]

    count(PostCommit(ended=[_ended("set-back", lasted_s=0.0)], at=_NOW))
    before = totals()
    count(PostCommit(ended=[_ended("set-back", lasted_s=-3600.0)], waited=[-3600.0], at=_NOW))

    assert totals() == before


def test_series_whose_labels_are_known_begin_at_0() -> None:
    for outcome in ("fired", "skipped", "missed"):
        assert admin_registry([]).get_sample_value("dagway_fires_total", {"outcome": outcome}) is not None


def test_an_unreachable_database_is_logged_once() -> None:
    def away(_now: datetime) -> Backlog:
        raise StoreUnavailable("gone")

    registry = CollectorRegistry()
    registry.register(BacklogCollector(away, lambda _hashes: {}, lambda: _NOW))

    assert registry.get_sample_value("dagway_database_up") == 0
    assert registry.get_sample_value("dagway_outbox_messages") is None


def test_the_backlog_is_asked_once_for_many_scrapes() -> None:
    asked = []

    def ask(now: datetime) -> Backlog:
        asked.append(now)
        return Backlog(queued_runs=2, open_attempts=(OpenAttempts("running", 3, "w"),))

    registry = CollectorRegistry()
    registry.register(BacklogCollector(ask, lambda _hashes: {}, lambda: _NOW))
    for _ in range(5):
        generate_latest(registry)

    assert registry.get_sample_value("dagway_outstanding_work") == 5
    assert len(asked) == 1


def test_a_database_that_hangs_keeps_a_scrape_waiting_for_a_limited_time_and_is_asked_once() -> None:
    answers, asked = threading.Event(), []

    def hang() -> int:
        asked.append(1)
        answers.wait(PATIENCE_S)
        return 7

    scraped = Scraped(hang, wait_s=0.05)

    assert [scraped.get() for _ in range(3)] == [None] * 3
    assert len(asked) == 1
    answers.set()
    eventually(lambda: scraped.get() == 7)


def test_a_database_is_asked_again_after_the_process_could_not_start_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    scraped = Scraped(lambda: 7, wait_s=PATIENCE_S)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError):
            scraped.get()

    assert scraped.get() == 7


@pytest.mark.parametrize("name", ["dagway_worker_slots", "dagway_dag_runs_ended_total", "dagu_dag_runs_total"])
def test_names_are_those_a_query_uses(name: str) -> None:
    assert name in {one for found in catalogue().values() for one in series_names(found)}
