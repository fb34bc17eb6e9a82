"""Spans of attempts: to the process's own collector, and to the one that a dag names (``otel:``).

A dag's collector is reached by workers only, the service that talks to whomever workflows name.
Whatever goes wrong here is logged and never touches a run.
"""

import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.worker.inputs.environment import Ground
from services.worker.process.outcome import Result
from shared.clock import utc_now
from shared.contracts.control import RunTraced
from shared.contracts.tasks import Task
from shared.language.expansion.expand import expand
from shared.language.expansion.scope import Scope
from shared.spans import Exporter, Span, recording, send
from shared.tracing import SpanContext

__all__ = ["AttemptSpans"]

_log = logging.getLogger(__name__)
_COLLECTORS = 8
_RUNS = 1_000
"""So many are remembered; the span of a run forgotten meanwhile is not sent."""
_STATUS = {"timed_out": "failed", "broken": "failed"}
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_TIMEOUT_S = 10.0


class AttemptSpans:
    """Makes a span of each attempt that is over; any number of threads may call."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._lock = threading.Lock()
        self._exporters: OrderedDict[str, Exporter] = OrderedDict()
        self._runs: OrderedDict[str, str] = OrderedDict()
        """Run key -> which collector its dag named."""

    def attempt_over(
        self, task: Task, of_run: SpanContext, began_at: datetime, result: Result, ground: Ground | None
    ) -> None:
        """Send the span of an attempt, which stands below ``of_run``."""
        if not recording() and "otel" not in task.options:
            return
        facts: dict[str, str | int] = {
            "dag.name": task.dag_name,
            "dag.run_id": task.dag_run_id,
            "step.name": task.step.name,
            "step.status": _STATUS.get(result.outcome, result.outcome),
            "dagway.outcome": result.outcome,
            "dagway.token": task.token,
            "dagway.worker_id": self._worker_id,
        }
        if result.exit_code:
            facts["step.exit_code"] = result.exit_code
        error = "" if result.outcome in {"succeeded", "skipped"} else result.error or result.outcome
        context = of_run.child(task.token)
        span = Span(f"Step: {task.step.name}", context, of_run, began_at, utc_now(), "consumer", facts, error)
        send(span)
        if ground is not None and (otel := task.options.get("otel")):
            try:
                self._collector(task, otel, ground).send(span)
            except Exception as fault:  # noqa: BLE001 - telemetry must not cost a run
                _log.warning("spans.not_sent", extra={"why": str(fault), "next": "see the dag's otel block"})

    def run_over(self, told: RunTraced, trace: str | None) -> None:
        """Send the span of a run whose attempts were made here. Never blocks."""
        context = SpanContext.parse(trace)
        with self._lock:
            exporter = self._exporters.get(self._runs.pop(told.run_key, ""))
        if exporter is not None and context is not None:
            parent = SpanContext.parse(told.parent)
            exporter.send(
                Span(told.name, context, parent, told.start, told.end, "internal", told.attributes, told.error)
            )

    def stop(self) -> None:
        """Send what is queued; waits a few seconds at most."""
        stopping = [threading.Thread(target=one.stop, daemon=True) for one in self._exporters.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()

    def _collector(self, task: Task, otel: Mapping[str, Any], ground: Ground) -> Exporter:
        settings = _resolved(otel, Scope((ground.secrets, ground.base)))
        key = json.dumps(settings, sort_keys=True)
        with self._lock:
            self._runs[task.run_key] = key
            if len(self._runs) > _RUNS:
                self._runs.popitem(last=False)
            if key not in self._exporters:
                self._exporters[key] = Exporter.to(**settings)
                if len(self._exporters) > _COLLECTORS:
                    _, oldest = self._exporters.popitem(last=False)
                    threading.Thread(target=oldest.stop, name="spans-retired", daemon=True).start()
            self._exporters.move_to_end(key)
            return self._exporters[key]


def _resolved(otel: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Return a dag's block with its variables' values. Raises ``ValueError``: nothing that can be sent to."""
    endpoint = expand(str(otel.get("endpoint") or ""), scope)
    if not endpoint.endswith("/v1/traces"):
        raise ValueError(f"otel.endpoint {endpoint!r} is not OTLP over HTTP: it must end in /v1/traces")
    if "://" not in endpoint:
        endpoint = f"{'http' if otel.get('insecure') else 'https'}://{endpoint}"
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(str(otel.get("timeout") or "")))
    return {
        "endpoint": endpoint,
        "headers": {name: expand(str(value), scope) for name, value in (otel.get("headers") or {}).items()},
        "timeout_s": seconds or _TIMEOUT_S,
        "resource": {name: expand(str(value), scope) for name, value in (otel.get("resource") or {}).items()},
    }
