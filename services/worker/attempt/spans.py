"""Send spans of attempts to the service's own OpenTelemetry collector, and to the collector in a DAG's ``otel``.

Only workers connect to a DAG's collector, as to every other host that a DAG names. Errors are logged and never affect
a run.
"""

import json
import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from services.worker.inputs.environment import Inputs
from services.worker.output.masking import Masker
from services.worker.process.outcome import Result
from shared.clock import utc_now
from shared.contracts.control import RunTraced
from shared.contracts.tasks import Task
from shared.language.expansion.expand import expand
from shared.language.expansion.scope import Scope
from shared.outbound import OutboundPolicy
from shared.spans import Exporter, Span, recording, send
from shared.tracing import SpanContext

__all__ = ["AttemptSpans"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
_COLLECTORS = 8
_RUNS = 1_000
"""How many runs are remembered; the span of a forgotten run is not sent to its DAG's collector."""
_STATUS = {"timed_out": "failed", "broken": "failed"}
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(ns|us|µs|ms|s|m|h)")
_TIMEOUT_S = 10.0


class AttemptSpans:
    """Sends a span for each ended attempt; to collectors of DAGs at addresses that ``outbound`` allows. Thread-safe."""

    def __init__(self, worker_id: str, outbound: OutboundPolicy) -> None:
        self._worker_id = worker_id
        self._outbound = outbound
        self._lock = threading.Lock()
        self._exporters: OrderedDict[str, Exporter] = OrderedDict()
        self._runs: OrderedDict[str, str] = OrderedDict()
        """Run key -> key of the collector that its DAG names."""
        self._ended: OrderedDict[str, tuple[RunTraced, SpanContext]] = OrderedDict()
        """Run key -> the end of a run that was heard before its last attempt was over here."""

    def attempt_over(
        self, task: Task, run_span: SpanContext, started_at: datetime, result: Result, inputs: Inputs | None
    ) -> None:
        """Send the span of an attempt, a child of ``run_span``."""
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
        context = run_span.child(task.token)
        span = Span(f"Step: {task.step.name}", context, run_span, started_at, utc_now(), "consumer", facts, error)
        send(span)
        if inputs is not None and (otel := task.options.get("otel")):
            masked = Masker(inputs.hidden).text
            try:
                exporter = self._collector(task, otel, inputs, masked)
                exporter.send(span)
                with self._lock:
                    ended = self._ended.pop(task.run_key, None)
                if ended is not None:
                    exporter.send(_run_span(*ended))
            except Exception as failure:  # noqa: BLE001 - telemetry must not cost a run
                _log.warning(
                    "spans.not_sent", extra={"error": masked(str(failure)), "next": "see the DAG's otel block"}
                )

    def run_over(self, message: RunTraced, trace: str | None) -> None:
        """Send the span of an ended run to its DAG's collector: now, or when its last attempt is over here."""
        context = SpanContext.parse(trace)
        if context is None:
            return
        with self._lock:
            exporter = self._exporters.get(self._runs.pop(message.run_key, ""))
            if exporter is None:
                # The scheduler may be faster than this process, which has just sent the report of the last attempt.
                _remember(self._ended, message.run_key, (message, context))
        if exporter is not None:
            exporter.send(_run_span(message, context))

    def stop(self) -> None:
        """Send all queued spans. Waits a few seconds at most."""
        threads = [threading.Thread(target=one.stop, daemon=True) for one in self._exporters.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _collector(self, task: Task, otel: Mapping[str, Any], inputs: Inputs, masked: Callable[[str], str]) -> Exporter:
        settings = _resolved(otel, Scope((inputs.secrets, inputs.base)))
        key = json.dumps(settings, sort_keys=True)
        with self._lock:
            _remember(self._runs, task.run_key, key)
            if key not in self._exporters:
                self._exporters[key] = Exporter.to(**settings, outbound=self._outbound, masked=masked)
                if len(self._exporters) > _COLLECTORS:
                    _, oldest = self._exporters.popitem(last=False)
                    threading.Thread(target=oldest.stop, name="spans-retired", daemon=True).start()
            self._exporters.move_to_end(key)
            return self._exporters[key]


def _remember(runs: "OrderedDict[str, T]", run_key: str, what: T) -> None:
    runs[run_key] = what
    if len(runs) > _RUNS:
        runs.popitem(last=False)


def _run_span(message: RunTraced, context: SpanContext) -> Span:
    parent = SpanContext.parse(message.parent)
    facts, error = message.attributes, message.error
    return Span(message.name, context, parent, message.start, message.end, "internal", facts, error)


def _resolved(otel: Mapping[str, Any], scope: Scope) -> dict[str, Any]:
    """Return the exporter's settings from a DAG's ``otel`` block. Raises ``ValueError`` for an unusable endpoint."""
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
