"""Sends spans to an OpenTelemetry collector, by OTLP over HTTP.

Spans are sent only if ``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` is set. The other
``OTEL_*`` variables have their standard meaning. A span is recorded by one call when its work has ended, and a thread
sends spans in batches: if the collector is slow or cannot be reached, spans are lost, but no work is delayed. A process
that is killed loses the spans that it has not sent.
"""

import importlib.util
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from shared.outbound import OutboundPolicy
from shared.settings.config import environment
from shared.tracing import SpanContext, sample_with

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["Exporter", "Span", "recording", "send", "start_sending", "stop_sending"]

_log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_FLUSH_S = 3.0
"""How long a process that shuts down waits until its last spans are sent."""
_FIRST_FAILURE = 300


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of work that has ended. ``error`` says why it failed; empty if it succeeded."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    start: datetime
    end: datetime
    kind: Literal["internal", "server", "consumer"] = "internal"
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    error: str = ""


class Exporter:
    """Queues spans for one collector and sends them in batches.

    OpenTelemetry is imported inside the functions, because the import takes 0.1 s and most processes send no spans.
    """

    def __init__(self, transport: "SpanExporter", resource: Mapping[str, str]) -> None:
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

        self._resource = Resource.create({**resource})
        self._processor = BatchSpanProcessor(transport)

    @classmethod
    def of_environment(cls, service: str) -> "Exporter":
        """Return the exporter that the ``OTEL_*`` variables configure, for the service name ``service``."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        instance = f"{os.uname().nodename}-{os.getpid()}"
        name = environment().get("OTEL_SERVICE_NAME", "") or service
        return cls(OTLPSpanExporter(), {"service.name": name, "service.instance.id": instance})

    @classmethod
    def to(
        cls,
        endpoint: str,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        resource: Mapping[str, str],
        outbound: OutboundPolicy,
        masked: Callable[[str], str],
    ) -> "Exporter":
        """Return an exporter for a collector that a DAG configures in ``otel``, at an address that ``outbound`` allows.

        ``masked`` returns a text for the log without the secrets that the endpoint may contain.

        The process's own ``OTEL_*`` headers, client certificates and proxies are not used for such a collector, because
        the author of the DAG must not receive them.
        """
        return cls(_post_to(endpoint, headers, timeout_s, outbound, masked), {"service.name": "dagway", **resource})

    def send(self, span: Span) -> None:
        """Queue a span. Never blocks and never fails. If the queue is full, the oldest span is dropped."""
        from opentelemetry.sdk.trace import ReadableSpan  # noqa: PLC0415
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415
        from opentelemetry.trace import SpanKind  # noqa: PLC0415
        from opentelemetry.trace.status import Status, StatusCode  # noqa: PLC0415

        self._processor.on_end(
            ReadableSpan(
                span.name,
                context=_context(span.context),
                parent=None if span.parent is None else _context(span.parent, remote=True),
                resource=self._resource,
                attributes=dict(span.attributes),
                kind=SpanKind[span.kind.upper()],
                status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
                start_time=_nanoseconds(span.start),
                end_time=max(_nanoseconds(span.start), _nanoseconds(span.end)),
                instrumentation_scope=InstrumentationScope("dagway"),
            )
        )

    def stop(self) -> None:
        """Send the queued spans, for at most ``_FLUSH_S`` seconds."""
        last = threading.Thread(target=self._processor.shutdown, name="spans-flush", daemon=True)
        last.start()
        last.join(_FLUSH_S)


def _post_to(
    endpoint: str,
    headers: Mapping[str, str],
    timeout_s: float,
    outbound: OutboundPolicy,
    masked: Callable[[str], str],
) -> "SpanExporter":
    import urllib3  # noqa: PLC0415
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult  # noqa: PLC0415

    from shared.outbound_http import outbound_pool  # noqa: PLC0415

    pool = outbound_pool(outbound, maxsize=1, retries=False, timeout=urllib3.Timeout(total=timeout_s))

    class Post(SpanExporter):
        def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
            body = encode_spans(spans).SerializeToString()
            try:
                answer = pool.request(
                    "POST", endpoint, body=body, headers={**headers, "Content-Type": "application/x-protobuf"}
                )
            except Exception as error:  # noqa: BLE001 - the library would log it unmasked
                why = str(error)
            else:
                if answer.status < _FIRST_FAILURE:
                    return SpanExportResult.SUCCESS
                why = f"HTTP {answer.status}"
            _log.warning("spans.lost", extra={"endpoint": masked(endpoint), "count": len(spans), "error": masked(why)})
            return SpanExportResult.FAILURE

    return Post()


def _context(context: SpanContext, *, remote: bool = False) -> Any:
    from opentelemetry.trace import SpanContext as Theirs  # noqa: PLC0415
    from opentelemetry.trace import TraceFlags  # noqa: PLC0415

    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return Theirs(int(context.trace_id, 16), int(context.span_id, 16), remote, flags)


def _environments_sampler() -> Callable[[str], bool]:
    """Return a function that tells whether the sampler of ``OTEL_TRACES_SAMPLER`` samples a trace id."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import Decision  # noqa: PLC0415

    sampler = TracerProvider(shutdown_on_exit=False).sampler

    def sampled(trace_id: str) -> bool:
        return sampler.should_sample(None, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE

    return sampled


def _nanoseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000) * 1_000


_exporter: Exporter | None = None


def start_sending(service: str) -> None:
    """Start to send the spans of this process, if the environment names a collector."""
    global _exporter  # noqa: PLW0603 - one process, one exporter
    if (
        not any(environment().get(name) for name in _ENDPOINTS)
        or environment().get("OTEL_SDK_DISABLED", "").lower() == "true"
    ):
        return
    if importlib.util.find_spec("opentelemetry.exporter") is None:
        _log.warning(
            "spans.not_sent",
            extra={"why": "OpenTelemetry is not installed", "next": "pip install '.[otel]' in a clone of Dagway"},
        )
        return
    _exporter = Exporter.of_environment(service)
    sample_with(_environments_sampler())


def recording() -> bool:
    """Return whether this process sends spans."""
    return _exporter is not None


def send(span: Span) -> None:
    """Queue a span for this process's collector. Without a collector, do nothing."""
    if _exporter is not None:
        _exporter.send(span)


def stop_sending() -> None:
    """Send the queued spans and stop sending. Call it when the process is about to end."""
    global _exporter  # noqa: PLW0603
    if _exporter is not None:
        _exporter.stop()
        _exporter = None
