"""What EVENTS_SINK may say."""

import pytest

from notifier.ground.sink_urls import Credentials, HttpSink, KafkaTopic, SinkTarget, parse_sink

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("kafka://broker/events", KafkaTopic(("broker:9092",), "events", has_tls=False)),
        ("kafka://a:9093,b,[::1]:7/n.e-w_s", KafkaTopic(("a:9093", "b:9092", "[::1]:7"), "n.e-w_s", has_tls=False)),
        ("kafka://a/events?tls=on", KafkaTopic(("a:9092",), "events", has_tls=True)),
        (
            "kafka://user:p%40ss@a/events?mechanism=SCRAM-SHA-512",
            KafkaTopic(("a:9092",), "events", True, Credentials("user", "p@ss"), "SCRAM-SHA-512"),
        ),
        ("https://example.test", HttpSink("https://example.test")),
        (
            "https://us%40er:p%3Ass@example.test:8443/?query=INSERT%20INTO%20e#x",
            HttpSink("https://example.test:8443/?query=INSERT%20INTO%20e", Credentials("us@er", "p:ss")),
        ),
        ("http://[::1]:9/x", HttpSink("http://[::1]:9/x")),
    ],
)
def test_a_sink_is_read_from_its_url(text: str, target: SinkTarget) -> None:
    assert parse_sink(text) == target


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("amqp://x/y", "must start with"),
        ("", "must start with"),
        ("kafka:///events", "must name its brokers"),
        ("kafka://a,,b/events", "must name its brokers"),
        ("kafka://a:0/events", "must name its brokers"),
        ("kafka://a:99999/events", "must name its brokers"),
        ("kafka://a b/events", "must name its brokers"),
        ("kafka://a", "must name a topic"),
        ("kafka://a/", "must name a topic"),
        ("kafka://a/..", "must name a topic"),
        ("kafka://a/two/topics", "must name a topic"),
        ("kafka://a/events?group=x", "may be followed by"),
        ("kafka://a/events?tls=maybe", "may be followed by"),
        (f"kafka://u:{SECRET}@a/events?tls=off", "by TLS only"),
        (f"kafka://u:{SECRET}@a/events?mechanism=GSSAPI", "knows the mechanisms"),
        ("https://", "must name a host"),
        (f"https://u:{SECRET}@[::1/", "is not a URL"),
        (f"https://u:{SECRET}@host:port/", "is not a URL"),
        (f"https://u:{SECRET}@host/a b", "must name a host"),
        (f"https://u:{SECRET}@höst/", "must name a host"),
    ],
)
def test_what_is_no_sink_is_said_without_the_url(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        parse_sink(text)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"kafka://user:{SECRET}@a,b:1/events", "kafka://a:9092,b:1/events"),
        (f"https://user:{SECRET}@example.test:8443/{SECRET}?token={SECRET}", "https://example.test:8443"),
    ],
)
def test_what_is_shown_of_a_sink_holds_no_secret(text: str, shown: str) -> None:
    target = parse_sink(text)
    assert target.shown == shown
    assert SECRET not in repr(target)
