"""Write docs/metrics.md from the metrics themselves: ``python -m scripts.metrics_doc``."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace

from prometheus_client import REGISTRY
from prometheus_client.core import Metric

import services.api.observability.request_metrics  # noqa: F401 - declares its metrics
from services.api.main import build_deps
from services.api.observability.dagu_metrics import COUNTED_BY_DAG, families
from services.api.settings import Settings
from services.scheduler.metrics import BacklogCollector
from services.worker.reporting.metrics import Counters, WorkerCollector
from shared.clock import utc_now
from shared.metrics import ProcessCollector
from shared.store.engine import open_engine
from shared.store.migrate import migrate
from shared.store.reads.backlog import Backlog
from shared.store.reads.reader import Reads, SchemaRevision
from shared.store.reads.schema_metric import SchemaCollector
from shared.transport.open import open_transport

__all__ = ["catalogue", "document", "series_names"]

TARGET = Path(__file__).parents[1] / "docs" / "metrics.md"

_HEAD = """# Metrics

<!-- Written by scripts/metrics_doc.py from the metrics themselves. -->

Every service answers `/metrics` on its admin server (`DAGWAY_METRICS_PORT`). The gateway also answers
`/api/v2/metrics`: the `dagu_*` names of the REST contract, read from the database.

- **How to add them up.** `dagway_*_total` and histograms are counted by the process that did it: `sum` over
  instances, and `rate` before `sum`. What a scheduler tells of the database, and all `dagu_*`, is the same from every
  replica: `max` over instances, never `sum`.
- **What is exact.** `dagu_dag_runs_total` reads the database, so kills and restarts do not touch it, but for one thing:
  a retried run's earlier end is counted until the gateway starts again. A process that is killed takes with it what it
  counted since the last scrape.
- **How many series.** Labels come from lists in the program. Only those with a `dag` label could grow: the first
  `DAGWAY_METRICS_DAGS` dags (200) have series of their own, the rest is summed under `dag="other"`; 0 turns them off.

"""


def catalogue() -> Mapping[str, list[Metric]]:
    """Return every metric by the service whose admin server shows it."""
    ours = [metric for metric in REGISTRY.collect() if metric.name.startswith("dagway_")]
    worker = SimpleNamespace(counters=Counters(), slots=1, busy=0, draining=False, spooled=0)
    transport = open_transport("embedded:", name="docs")
    try:
        return {
            "every service": list(ProcessCollector("x", "0", transport, Path("/")).collect()),
            "scheduler": [
                *(metric for metric in ours if not metric.name.startswith("dagway_gateway_")),
                *BacklogCollector(lambda _now: Backlog(), utc_now).collect(),
                *SchemaCollector(lambda: SchemaRevision("0001", "0001")).collect(),
            ],
            "worker": list(WorkerCollector(worker).collect()),
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
    """Return the names a query may use for these metrics."""
    suffixes = {
        "counter": ("_total", "_created"),
        "histogram": ("_bucket", "_sum", "_count"),
        "summary": ("_sum", "_count"),
    }
    return {metric.name + suffix for metric in metrics for suffix in suffixes.get(metric.type, ("",))}


def document() -> str:
    """Return the page."""
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
