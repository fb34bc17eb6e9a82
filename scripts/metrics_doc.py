"""Write docs/metrics.md from the registered metrics: ``python -m scripts.metrics_doc``."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import Metric

import services.api.observability.request_metrics  # noqa: F401 - declares its metrics
from services.api.assembly import build_deps
from services.api.observability.dagu_metrics import COUNTED_BY_DAG, families
from services.api.settings import Settings
from services.kubernetes.metrics import DeletionCostCollector, DeletionCostCounts
from services.scheduler.metrics import BacklogCollector
from services.worker.reporting.metrics import WorkerCollector, WorkerFacts
from shared.clock import utc_now
from shared.contracts.signing import Keyring, Purpose
from shared.disk import Volume
from shared.metrics import ProcessCollector
from shared.status import RunStatus
from shared.store.clock import StoreClock
from shared.store.clock_metric import ClockCollector
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads.backlog import Backlog
from shared.store.reads.reader import Reads, SchemaRevision
from shared.store.reads.schema_metric import SchemaCollector
from shared.store.room_metrics import DatabaseSizeCollector
from shared.transport.open import open_transport
from shared.transport.signed import SignedTransport

__all__ = ["SUCCESS_RATE", "USUAL_SUCCESS_RATE", "catalogue", "document", "series_names"]

TARGET = Path(__file__).parents[1] / "docs" / "metrics.md"

USUAL_SUCCESS_RATE = 'rate(dagu_dag_runs_total{status="success"}[1h]) / rate(dagu_dag_runs_total[1h])'
"""The query of Dagu's dashboards."""
_ENDED = "|".join(status for status in RunStatus if not status.active and status is not RunStatus.NOT_STARTED)
SUCCESS_RATE = f"""sum(max by (status) (rate(dagu_dag_runs_total{{status="succeeded"}}[1h])))
  / sum(max by (status) (rate(dagu_dag_runs_total{{status=~"{_ENDED}"}}[1h])))"""

_HEAD = f"""# Metrics

<!-- Written by scripts/metrics_doc.py from the metrics themselves. -->

With `DAGWAY_METRICS_PORT` (0, none, by default) a service serves `/metrics` on its admin server. The gateway also has
`/api/v2/metrics`, with the names of Dagu's API (`dagu_*`).

- **Aggregation.** Each process counts its own `dagway_*_total` and histograms: take `rate`, then `sum` over instances.
  What is read from the database, by schedulers or for `dagu_*`, is the same on every replica: use `max`, never `sum`.
- **Accuracy.** `dagu_dag_runs_total` is read from the database, so kills and restarts do not change it, except
  that it also counts runs that were removed, and the earlier ends of retried runs. A killed process loses what it
  counted since the last scrape.
- **Phases of a run.** `sum by (phase) (rate(dagway_run_phase_seconds_sum[5m]))` shows where runs spend their time,
  and the gateway's `dagway_gateway_run_phase_seconds` the phases before and after. For a run whose start waits for its
  end, they explain all of its time but the transfer of request and response. A phase between two hosts is as exact as
  their clocks.
- **Cardinality.** Label values come from fixed lists, except for two labels. `worker_pool` names all pools that have
  workers, and at most 50 others. `dag`: the first `DAGWAY_METRICS_DAGS` DAGs (1000) have their own series, the others
  are summed under `dag="other"`; 0 turns DAG series off. `dagway_dags_folded` counts these others. A deleted DAG gives
  its place to a stored one.

## Success rate

The share of succeeded runs among those that ended within the last hour. If none ended, it is NaN.

```
{SUCCESS_RATE}
```

Do not use the query that dashboards for Dagu have:

```
{USUAL_SUCCESS_RATE}
```

Prometheus divides each series by the one that has the same labels, and both sides have the label `status`: the series
`success` is divided by itself. The result is 1 whenever any run succeeds, and NaN if none does, however many fail.

"""


def catalogue() -> Mapping[str, list[Metric]]:
    """Return all metrics by the service that serves them."""
    ours = [metric for metric in REGISTRY.collect() if metric.name.startswith("dagway_")]
    worker = WorkerFacts({}, slots=1, busy=0, draining=False, spooled=0, trouble="")
    transport = SignedTransport(open_transport("embedded:", name="docs"), Keyring({}, {Purpose.COMMAND: {}}))
    try:
        return {
            "every service": list(ProcessCollector("x", "0", transport, Volume(Path("/"))).collect()),
            "scheduler": [
                *(metric for metric in ours if not metric.name.startswith("dagway_gateway_")),
                *BacklogCollector(lambda _now: Backlog(), lambda _hashes: {}, utc_now).collect(),
                *SchemaCollector(lambda: SchemaRevision("0001", "0001")).collect(),
                *DatabaseSizeCollector(lambda: 0, 1).collect(),
                *ClockCollector(StoreClock(utc_now)).collect(),
            ],
            "worker": list(WorkerCollector(lambda: worker).collect()),
            "deletion-costs": list(DeletionCostCollector(DeletionCostCounts()).collect()),
            "gateway": [metric for metric in ours if metric.name.startswith("dagway_gateway_")],
            "gateway, from the database": _dagu(),
        }
    finally:
        transport.close()


def _dagu() -> list[Metric]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/docs.db"
        migrate(url)
        engine = open_engine(url, read_only=True)
        transport = open_transport("embedded:", name="docs")
        deps = build_deps(
            transport=transport, reads=Reads(engine), version="0", settings=Settings(data_dir=Path(folder))
        )
        try:
            return families(deps, utc_now())
        finally:
            deps.closing.set()
            transport.close()
            engine.dispose()


def series_names(metrics: Iterable[Metric]) -> set[str]:
    """Return the names under which queries find these metrics, with suffixes such as ``_total`` and ``_bucket``."""
    suffixes = {
        "counter": ("_total", "_created"),
        "histogram": ("_bucket", "_sum", "_count"),
        "summary": ("_sum", "_count"),
    }
    return {metric.name + suffix for metric in metrics for suffix in suffixes.get(metric.type, ("",))}


def document() -> str:
    """Return the text of the page."""
    parts = [_HEAD]
    for service, metrics in catalogue().items():
        parts.append(f"## {service[0].upper()}{service[1:]}\n\n| name | type | meaning |\n| --- | --- | --- |\n")
        for metric in sorted(metrics, key=lambda metric: metric.name):
            name = metric.name + ("_total" if metric.type == "counter" else "")
            kind = "counter" if name == COUNTED_BY_DAG else metric.type
            parts.append(f"| `{name}` | {kind} | {metric.documentation} |\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    TARGET.write_text(document())
