"""One trace from a request to its receipt, as a real collector gets it."""

import socket
import sys
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import structlog
from flask.testing import FlaskClient

from notifier.ground.config import NotReady, Settings
from notifier.ground.extensions import db
from notifier.ground.ids import parse
from notifier.ground.tracing import start
from notifier.models import Submission
from notifier.pipeline.delivery.deliver import deliver
from notifier.queries import events
from notifier.sinks.collector import lines_of
from tests import tracing
from tests.acme import Server, event, tell
from tests.conftest import Api
from tests.running import eventually

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[tracing.Collector]:
    collector = tracing.Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.close()


def notify(api: Api, *people: str, traceparent: str | None = None, **fields: object) -> list[str]:
    """→ the ids of the deliveries by e-mail."""
    answer = api.post(
        "/api/v1/notifications",
        {
            "type": "order_shipped",
            "recipients": [{"id": name, "email": f"{name}@example.test"} for name in people],
            "data": {"order_id": "A1"},
            "channels": ["email"],
            "dedupe": False,
            **fields,
        },
        headers={"traceparent": traceparent} if traceparent else {},
    ).json
    return [one["id"] for notification in answer["notifications"] for one in notification["deliveries"]]


def send(*deliveries: str) -> None:
    deliver([parse("dlv", one) for one in deliveries])


def test_a_request_and_all_that_follows_from_it_are_one_trace(
    api: Api, acme: Server, client: FlaskClient, collector: tracing.Collector, environment: dict[str, str]
) -> None:
    with tracing.traced(collector.url, environment):
        [delivery] = notify(api, "zoe", traceparent=f"00-{TRACE}-{PARENT}-01")
        send(delivery)
        assert tell(client, event("delivered", provider_message_id="acme-1")).status_code == 200
        lines = lines_of(events.read(0, 10).rows)
    accept, sent, receipt = (collector.only(name) for name in ("accept", "send", "receipt"))
    assert collector.names(TRACE) == ["accept", "receipt", "send"]
    assert (accept.parent, sent.parent, receipt.parent) == (PARENT, accept.id, accept.id)
    batch = collector.only("deliver.batch")
    assert (batch.trace == TRACE, batch.links) == (False, (TRACE,))
    ids = {
        name: sent.facts[name]
        for name in ("request_id", "producer", "submission", "notification", "delivery", "channel")
    }
    assert ids == {name: receipt.facts[name] for name in ids}
    assert (ids["delivery"], ids["submission"]) == (delivery, accept.facts["submission"])
    assert {**sent.facts, **ids} == {**ids, "provider": "acme", "attempt": 1}
    assert "zoe" not in repr(collector.spans)
    assert {line.traceparent for line in lines} == {f"00-{TRACE}-{accept.id}-01"}
    assert {line.traceparent for line in lines_of(events.read(0, 10).rows)} == {None}  # they are switched off again


def test_a_batch_links_to_the_traces_of_all_its_members(
    api: Api, acme: Server, collector: tracing.Collector, environment: dict[str, str]
) -> None:
    acme.answer = {"dead": True}
    with tracing.traced(collector.url, environment):
        send(*notify(api, "zoe"), *notify(api, "yan", "xia"))
    traces = {span.trace for span in collector.spans if span.name == "accept"}
    assert len(traces) == 2
    assert set(collector.only("deliver.batch").links) == traces
    assert [
        (span.trace in traces, span.is_error, span.facts["error.type"])
        for span in collector.spans
        if span.name == "send"
    ] == [(True, True, "dead")] * 3


@pytest.mark.parametrize(
    ("sampler", "flags", "followed"),
    [
        ("parentbased_always_on", "01", True),
        ("parentbased_always_on", "00", False),  # whoever asks has decided
        ("parentbased_always_off", "01", True),
        ("always_off", "01", False),
        ("always_on", "00", True),
    ],
)
def test_the_sampler_decides_once_for_the_whole_trace(
    api: Api,
    acme: Server,
    collector: tracing.Collector,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    flags: str,
    followed: bool,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    with tracing.traced(collector.url, environment):
        send(*notify(api, "zoe", traceparent=f"00-{TRACE}-{PARENT}-{flags}"))
    assert sorted(span.name for span in collector.spans) == (["accept", "deliver.batch", "send"] if followed else [])


@pytest.mark.parametrize(
    "nonsense",
    ["", "x", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01-more", f"ff-{TRACE}-{PARENT}-01", "0" * 5_000],
)
def test_nonsense_in_traceparent_begins_a_new_trace(
    api: Api, acme: Server, collector: tracing.Collector, environment: dict[str, str], nonsense: str
) -> None:
    with tracing.traced(collector.url, environment):
        notify(api, "zoe", traceparent=nonsense)
    assert (collector.only("accept").parent, collector.only("accept").trace != TRACE) == ("", True)


def test_a_refused_submission_says_why(api: Api, collector: tracing.Collector, environment: dict[str, str]) -> None:
    with tracing.traced(collector.url, environment):
        api.post("/api/v1/notifications", {"type": "no_such_type", "recipients": ["zoe"]})
    span = collector.only("accept")
    assert (span.is_error, span.facts["error.type"]) == (True, "unknown_type")
    assert "no_such_type" not in repr(span)


def test_a_large_audience_is_not_followed(api: Api, collector: tracing.Collector, environment: dict[str, str]) -> None:
    body = {"type": "order_shipped", "data": {"order_id": "A1"}}
    with tracing.traced(collector.url, environment):
        for many in (100, 101):
            people = [{"id": f"p{number}", "name": "P"} for number in range(many)]
            assert api.post("/api/v1/notifications", {**body, "recipients": people}).status_code == 202
    assert [span.name for span in collector.spans] == ["accept", "accept"]
    stored, of_many = sorted(traceparents(), key=str)
    assert (stored or "").split("-")[1:3] == [collector.spans[0].trace, collector.spans[0].id]
    assert of_many is None


def test_without_a_collector_nothing_is_kept(api: Api, acme: Server, environment: dict[str, str]) -> None:
    send(*notify(api, "zoe", traceparent=f"00-{TRACE}-{PARENT}-01"))
    assert (traceparents(), len(acme.sent)) == ([None], 1)


def test_a_collector_that_is_away_is_told_of_once_and_hinders_nobody(
    api: Api, acme: Server, collector: tracing.Collector, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    collector.status = 403
    with structlog.testing.capture_logs() as lines, tracing.traced(collector.url, environment):
        send(*notify(api, "zoe"), *notify(api, "yan"))
        eventually(lambda: collector.calls >= 3)
        collector.status = 200
        send(*notify(api, "xia"))
    told = [line for line in lines if line["event"].startswith("traces.")]
    assert [(line["event"], line["collector"]) for line in told] == [
        ("traces.collector_away", "127.0.0.1"),
        ("traces.collector_back", "127.0.0.1"),
    ]
    assert (len(acme.sent), told[1]["lost"] + len(collector.spans)) == (3, 9 - 1)  # a batch of two, and one of one


@pytest.mark.slow
def test_a_collector_that_never_answers_holds_up_no_stop(
    api: Api, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "600")
        environment = {**environment, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        begun = time.monotonic()
        with tracing.traced(url, environment):
            assert notify(api, "zoe")
        assert time.monotonic() - begun < 300


def test_what_is_missing_is_said(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "notifier.ground.otel", raising=False)
    settings = Settings.from_env({**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    with pytest.raises(NotReady, match=r"pip install -r requirements-otel\.lock"):
        start(settings, "test")


def traceparents() -> list[str | None]:
    return list(db.session.scalars(sa.select(Submission.traceparent)))
