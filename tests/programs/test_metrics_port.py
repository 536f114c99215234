"""Metrics of processes that serve nothing else, and of several under one address."""

import contextlib
import dataclasses
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog.testing
from prometheus_client.parser import text_string_to_metric_families

from notifier.ground.config import Settings
from notifier.programs import listening, metrics_port
from notifier.programs.children import Child
from notifier.programs.metrics_port import Children, joined, measured, urls
from notifier.programs.up import readiness
from tests.running import eventually, free_port

TOKEN = "a-token-for-tests"
ONE = """# HELP sends_total Sends
# TYPE sends_total counter
sends_total{channel="sms",text="a \\"b\\" \\\\ \\n"} 2.0
# HELP took_seconds Time
# TYPE took_seconds histogram
took_seconds_bucket{le="1.0"} 1.0
took_seconds_bucket{le="+Inf"} 1.0
took_seconds_count 1.0
took_seconds_sum 0.5
"""


def ask(url: str, token: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


@pytest.fixture
def served(tmp_path: Path) -> Callable[..., str]:
    """`served(body, token=…)` → its URL."""

    def _served(body: Callable[[], bytes], **options: object) -> str:
        settings = dataclasses.replace(
            Settings.from_env({"NOTIFIER_HOME": str(tmp_path)}), **{"metrics_port": free_port(), **options}
        )
        metrics_port.serve(settings, body)
        url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
        eventually(lambda: _answers(url))
        return url

    return _served


def _answers(url: str) -> bool:
    try:
        return bool(ask(url)[0])
    except OSError:
        return False


def test_metrics_are_served_at_their_port_and_nothing_else_is(served: Callable[..., str]) -> None:
    url = served(lambda: b"a 1\n")
    assert ask(url) == (200, "a 1\n")
    assert ask(f"{url}?x=1") == (200, "a 1\n")
    assert [ask(url.replace("/metrics", path))[0] for path in ("/", "/metrics/", "/healthz")] == [404] * 3


def test_with_a_token_who_does_not_show_it_is_refused(served: Callable[..., str]) -> None:
    url = served(lambda: b"a 1\n", metrics_token=TOKEN)
    assert [ask(url, token)[0] for token in (None, "another", TOKEN)] == [401, 401, 200]


def test_who_holds_connections_open_takes_the_process_no_more_than_so_many(served: Callable[..., str]) -> None:
    url = served(lambda: b"a 1\n")
    address = ("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
    held = [socket.create_connection(address, timeout=30) for _ in range(metrics_port.MOST_CONNECTIONS)]
    try:
        eventually(lambda: is_hung_up_on(address))
    finally:
        for connection in held:
            connection.close()
    eventually(lambda: _answers(url))


def test_room_is_not_used_up_while_no_thread_can_be_started(
    served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    url = served(lambda: b"a 1\n")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        for _ in range(metrics_port.MOST_CONNECTIONS):
            assert not _answers(url)
    eventually(lambda: _answers(url))


def is_hung_up_on(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, timeout=30) as connection, contextlib.suppress(ConnectionResetError):
        connection.settimeout(0.5)
        try:
            return connection.recv(1) == b""
        except TimeoutError:
            return False
    return True


def test_a_process_of_this_machine_is_asked_by_no_proxy(
    served: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by `up`, which waits for an answer."""
    url = served(lambda: b"a 1\n")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(urllib.request, "_opener", None)  # which is made of the environment once
    assert b'a{process="a"} 1.0' in Children(lambda: {"a": url}, None).exposition()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        web = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), "PORT": str(server.server_address[1])})
        assert readiness(web) == "ok"
        server.shutdown()


class _Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"status": "ok"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_without_a_port_nothing_is_opened(settings: Settings) -> None:
    assert settings.metrics_port == 0
    child = measured("worker", ["notifier", "worker"], settings)
    assert (child.command, child.listener) == (["notifier", "worker"], None)


def test_a_port_that_is_taken_is_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_port, "BIND_AGAIN_S", 0.01)
    with listening.bound("127.0.0.1", free_port()) as holder, structlog.testing.capture_logs() as told:
        holder.listen()
        port = holder.getsockname()[1]
        metrics_port.serve(dataclasses.replace(settings, metrics_port=port), lambda: b"a 1\n")
        eventually(lambda: told)
    assert told[0]["event"] == "metrics.port_not_free"
    eventually(lambda: _answers(f"http://127.0.0.1:{port}/metrics"))


def test_the_metrics_of_several_are_joined_by_family_and_told_apart_by_process() -> None:
    text = Children(dict, None).exposition().decode()
    assert text.splitlines()[-1].startswith("# TYPE notifier_process_up")
    families = joined({"worker": ONE, "web": ONE})
    assert [family.name for family in families] == ["sends", "took_seconds"]
    samples = {(sample.name, sample.labels["process"]): sample for sample in families[0].samples}
    assert samples["sends_total", "worker"].labels == {
        "channel": "sms",
        "text": 'a "b" \\ \n',
        "process": "worker",
    }
    assert len(families[1].samples) == 8


def test_a_process_that_does_not_answer_is_down_and_the_others_are_told(
    served: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a proxy asked for any, and given the token."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    up = served(lambda: ONE.encode(), metrics_token=TOKEN)
    down = f"http://127.0.0.1:{free_port()}/metrics"
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsends") as dying, answering(b"") as silent:
        urls = {"worker": up, "scheduler": down, "web": dying, "sink": silent}
        text = Children(lambda: urls, TOKEN).exposition().decode()
    found = {family.name: family.samples for family in text_string_to_metric_families(text)}
    alive = {s.labels["process"]: s.value for s in found["notifier_process_up"]}
    assert alive == {"worker": 1, "scheduler": 0, "web": 0, "sink": 0}
    assert [s.labels["process"] for s in found["sends"]] == ["worker"]


@contextlib.contextmanager
def answering(words: bytes) -> Iterator[str]:
    """The URL of a process that says no more than this, and dies."""

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/metrics"
        thread.join()


def test_a_child_inherits_the_socket_of_its_metrics(settings: Settings) -> None:
    child = measured("worker", ["notifier", "worker"], dataclasses.replace(settings, metrics_port=1))
    assert child.listener is not None
    assert child.command[-2:] == ["--metrics-fd", str(child.listener.fileno())]
    port = child.listener.getsockname()[1]
    assert urls([child, Child("redis", [])]) == {"worker": f"http://127.0.0.1:{port}/metrics"}
    child.listener.close()
