"""Traces: what was done for a submission, in which process, and for how long. Off unless `start` has found a collector.

Spans are made by hand: `accept`, `deliver.batch`, `send`, `receipt`. What joins them is the submission's `traceparent`
(https://www.w3.org/TR/trace-context/), stored with it if its trace is sampled. Facts are ids, names and counts: never
an address, nor what somebody wrote. Only `otel` knows OpenTelemetry, and is imported only where traces are on.
"""

import importlib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from notifier.ground.clock import now
from notifier.ground.config import NotReady, Settings

Fact = str | int | float | bool | None  # None: it is left out


class Span:
    """Something that is done, until `end`. One that is not recorded has no `traceparent`, and says nothing."""

    traceparent: str | None = None

    def end(self, error: str | None = None, **facts: Fact) -> None:
        """`error`: the code or the kind of what went wrong."""


class Tracer(Protocol):
    """Gives each span its facts under names of ours: `delivery` becomes `notifier.delivery`."""

    def begin(self, name: str, parent: str | None, links: Iterable[str], at: datetime, facts: dict[str, Fact]) -> Span:
        """With links it is recorded whatever the sampler says: what it links to is."""

    def stop(self) -> None: ...


class _Process:
    tracer: Tracer | None = None


NOTHING = Span()


def start(settings: Settings, program: str) -> None:
    """Before the first span, after patching and after any fork. Raises NotReady."""
    if settings.otel_exporter_otlp_endpoint is None:
        return
    try:
        otel: Any = importlib.import_module("notifier.ground.otel")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        raise NotReady(
            "OTEL_EXPORTER_OTLP_ENDPOINT needs OpenTelemetry: pip install -r requirements-otel.lock"
        ) from None
    _Process.tracer = otel.OpenTelemetry(settings, program)


def stop() -> None:
    """Sends what is left, for two seconds at most."""
    tracer, _Process.tracer = _Process.tracer, None
    if tracer is not None:
        tracer.stop()


def is_on() -> bool:
    return _Process.tracer is not None


def begin(name: str, parent: str | None, **facts: Fact) -> Span:
    """In the trace of `parent`, a traceparent from anywhere; without one, or with nonsense, in a trace of its own. The
    sampler decides whether it is recorded.
    """
    tracer = _Process.tracer
    return NOTHING if tracer is None else tracer.begin(name, parent, (), now(), facts)


def follow(name: str, traceparent: str | None, at: datetime | None = None, **facts: Fact) -> Span:
    """In a trace that is recorded, since `at`; None: there is none."""
    tracer = _Process.tracer
    if tracer is None or traceparent is None:
        return NOTHING
    return tracer.begin(name, traceparent, (), at or now(), facts)


def batch(name: str, traceparents: Iterable[str | None], at: datetime, **facts: Fact) -> None:
    """What was done for many at once, since `at`: a trace of its own, with links to those of the members. A span has
    one parent at most.
    """
    tracer = _Process.tracer
    members = {one for one in traceparents if one} if tracer is not None else ()
    if tracer is not None and members:
        tracer.begin(name, None, members, at, facts).end()
