"""The spans of `tracing` by OpenTelemetry, sent to a collector by OTLP over HTTP (`requirements-otel.lock`).

Imported by `tracing.start` alone. Spans wait in a bounded queue for a thread that sends them, so a collector that is
slow or away costs those that no longer fit, and nobody's time. gRPC is no choice: it blocks green threads.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TraceState
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from notifier.ground.clock import now
from notifier.ground.config import Settings
from notifier.ground.tracing import NOTHING, Fact
from notifier.ground.tracing import Span as OurSpan

TRACEPARENT = "traceparent"
EXPORT_S = 2  # for a batch of spans, unless OTEL_EXPORTER_OTLP_TIMEOUT says otherwise
STOP_S = 2.0
_KINDS = {"accept": SpanKind.SERVER, "send": SpanKind.CLIENT, "receipt": SpanKind.SERVER}

_propagator = TraceContextTextMapPropagator()
_nobodys = Context()

log = structlog.get_logger()


class OpenTelemetry:
    """`tracing.Tracer`. The library itself reads the other variables that OpenTelemetry has: sampler, headers, name."""

    def __init__(self, settings: Settings, program: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # else a line for every batch; see _Exporter
        has_timeout = "OTEL_EXPORTER_OTLP_TIMEOUT" in settings.environment
        exporter = _Exporter(
            OTLPSpanExporter(timeout=None if has_timeout else EXPORT_S),
            urlsplit(settings.otel_exporter_otlp_endpoint or "").hostname or "",
        )
        resource = Resource.create({"service.namespace": "notifier", "service.name": f"notifier-{program}"})
        self._provider = TracerProvider(
            resource=resource.merge(OTELResourceDetector().detect()),  # what the operator calls it
            shutdown_on_exit=False,
        )
        self._provider.sampler = _Sampler(self._provider.sampler)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("notifier")

    def begin(
        self, name: str, parent: str | None, links: Iterable[str], at: datetime, facts: dict[str, Fact]
    ) -> OurSpan:
        span = self._tracer.start_span(
            name,
            context=_context(parent) if parent else _nobodys,
            kind=_KINDS.get(name, SpanKind.INTERNAL),
            attributes=_attributes(facts),
            links=[Link(trace.get_current_span(_context(link)).get_span_context()) for link in links],
            start_time=_nanoseconds(at),
        )
        return _Recorded(span) if span.is_recording() else NOTHING

    def stop(self) -> None:
        """The library would wait for half a minute."""
        last = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        last.start()
        last.join(STOP_S)


class _Recorded(OurSpan):
    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, _nobodys))
        self.traceparent = carrier[TRACEPARENT]

    def end(self, error: str | None = None, **facts: Fact) -> None:
        self._span.set_attributes(_attributes(facts))
        if error is not None:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(_nanoseconds(now()))


class _Sampler(Sampler):
    """The operator's; and whatever links to traces is recorded, since those are."""

    def __init__(self, chosen: Sampler) -> None:
        self._chosen = chosen

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        if links:
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)
        return self._chosen.should_sample(parent_context, trace_id, name, kind, attributes, links)

    def get_description(self) -> str:
        return self._chosen.get_description()


class _Exporter(SpanExporter):
    """Says once that spans are being lost, and once that they no longer are."""

    def __init__(self, sends: SpanExporter, collector: str) -> None:
        self._sends, self._collector = sends, collector
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        with suppress(Exception):
            result = self._sends.export(spans)
        if result is SpanExportResult.FAILURE:
            if not self._lost:
                log.warning("traces.collector_away", collector=self._collector)
            self._lost += len(spans)
        elif self._lost:
            log.info("traces.collector_back", collector=self._collector, lost=self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        self._sends.shutdown()


def _context(traceparent: str) -> Context:
    return _propagator.extract({TRACEPARENT: traceparent}, context=_nobodys)


def _attributes(facts: dict[str, Fact]) -> dict[str, str | int | float | bool]:
    return {f"notifier.{name}": value for name, value in facts.items() if value is not None}


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1_000
