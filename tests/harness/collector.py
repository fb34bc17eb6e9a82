"""An OpenTelemetry collector for tests: OTLP over HTTP on loopback. It keeps all received spans."""

import threading
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from tests.harness.loopback import Loopback, QuietHandler

__all__ = ["Collector", "Seen"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One received span. Ids are hexadecimal; ``parent_id`` is empty for a root span."""

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    kind: int
    start_ns: int
    end_ns: int
    error: str
    facts: dict[str, str]
    resource: dict[str, str]


class Collector(Loopback):
    """Listens from ``__enter__`` to ``__exit__``. ``headers`` are the headers of the last request."""

    def __init__(self) -> None:
        self._spans: list[Seen] = []
        self.headers: dict[str, str] = {}
        self._lock = threading.Lock()
        collector = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                if found:
                    collector.take(body, dict(self.headers))
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

        super().__init__(Handler)

    @property
    def endpoint(self) -> str:
        """The value for ``OTEL_EXPORTER_OTLP_ENDPOINT``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """Settings that make a service send its spans to this collector, without a long delay."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self._lock:
            self.headers = headers
            for group in request.resource_spans:
                resource = {pair.key: pair.value.string_value for pair in group.resource.attributes}
                self._spans += [_seen(span, resource) for scope in group.scope_spans for span in scope.spans]

    def spans(self, **facts: str) -> list[Seen]:
        """Return the received spans that have these field values, in order of start."""
        with self._lock:
            found = [each for each in self._spans if all(getattr(each, name) == value for name, value in facts.items())]
        return sorted(found, key=lambda each: each.start_ns)

    def one(self, **facts: str) -> Seen:
        """Return the only span with these field values; fails if there is none or more than one."""
        (found,) = self.spans(**facts) or (None,)
        assert found is not None, f"no span {facts}"
        return found


def _seen(span: ProtoSpan, resource: dict[str, str]) -> Seen:
    return Seen(
        service=resource.get("service.name", ""),
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        error=span.status.message,
        facts={pair.key: pair.value.string_value or str(pair.value.int_value) for pair in span.attributes},
        resource=resource,
    )
