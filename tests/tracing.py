"""A collector of traces for tests: takes what OpenTelemetry's exporter sends by OTLP over HTTP."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from notifier.ground import tracing
from notifier.ground.config import Settings


@dataclass(frozen=True)
class Received:
    """A span as it arrived. Ids are in hex; `links` are the ids of traces; `facts` without `notifier.`."""

    name: str
    service: str
    trace: str
    id: str
    parent: str
    links: tuple[str, ...]
    facts: dict[str, Any]
    is_error: bool
    seconds: float


class Collector:
    """`spans`: all that came. `status`: what it answers."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.status = 200
        self.calls = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.calls += 1
                if self.path == "/v1/traces" and outer.status == 200:
                    is_packed = self.headers.get("Content-Encoding") == "gzip"
                    outer.spans += _spans(gzip.decompress(body) if is_packed else body)
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def names(self, trace: str) -> list[str]:
        return sorted(span.name for span in self.spans if span.trace == trace)

    def only(self, name: str) -> Received:
        [span] = [span for span in self.spans if span.name == name]
        return span


def _spans(body: bytes) -> Iterator[Received]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    for of_resource in request.resource_spans:
        service = _values(of_resource.resource.attributes)["service.name"]
        for span in (span for scope in of_resource.scope_spans for span in scope.spans):
            yield Received(
                span.name,
                service,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                tuple(link.trace_id.hex() for link in span.links),
                {name.removeprefix("notifier."): value for name, value in _values(span.attributes).items()},
                span.status.code == 2,
                (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            )


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def traced(url: str, environment: dict[str, str]) -> Iterator[None]:
    """This process traces; at the end all has been sent."""
    settings = Settings.from_env({**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": url})
    tracing.start(settings, "test")
    try:
        yield
    finally:
        tracing.stop()
