"""`/metrics` of processes that serve nothing else, at METRICS_PORT; and of several processes under one address.

A supervisor (`up`, `worker --processes`) opens a port on the loopback interface for each of its children, which
inherits it, asks them all at each scrape, and adds the label `process`. Nothing here may keep a process from doing its
work: a port that is taken is waited for.
"""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from notifier.ground import metrics, vital
from notifier.ground.config import Settings
from notifier.programs import listening
from notifier.programs.children import Child

BIND_AGAIN_S = 5.0
MOST_CONNECTIONS = 16
_CHILD_ANSWERS_S = 2.0
_CLIENT_SAYS_S = 5.0
# By no proxy of the environment's: it would be given the token, and has no way here
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

log = structlog.get_logger()


def serve(settings: Settings, body: Callable[[], bytes], descriptor: int | None = None) -> None:
    """From a thread of its own: at an inherited socket, or at METRICS_PORT of HOST. Nothing where neither is given."""
    if descriptor is not None:
        _begin(lambda: listening.inherited(descriptor), body, settings.metrics_token)
    elif settings.metrics_port:
        _begin(lambda: _bound(settings.host, settings.metrics_port), body, settings.metrics_token)


def _begin(listen: Callable[[], socket.socket], body: Callable[[], bytes], token: str | None) -> None:
    def run() -> None:
        server = _Server(listen(), body, token)
        log.info("metrics.served", port=server.server_port)
        server.serve_forever()

    threading.Thread(target=vital.kept("metrics", run), name="metrics", daemon=True).start()


def _bound(host: str, port: int) -> socket.socket:
    while True:
        try:
            listener = listening.bound(host, port)
            listener.listen(listening.BACKLOG)
            return listener
        except OSError as error:
            log.warning("metrics.port_not_free", port=port, error=error.strerror, again_in_s=BIND_AGAIN_S)
        time.sleep(BIND_AGAIN_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, body: Callable[[], bytes], token: str | None) -> None:
        self.address_family = listener.family
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.server_port = listener.getsockname()[1]
        self.body, self.token = body, token
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread of its own. Who comes when there is no room is hung up on: the process has other work."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started, to release it
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: object) -> None:
        log.warning("metrics.request_broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _CLIENT_SAYS_S
    server_version, sys_version = "Notifier", ""

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif self.server.token and not metrics.shows(self.server.token, self.headers.get("Authorization")):
            self.send_error(HTTPStatus.UNAUTHORIZED)
        else:
            body = self.server.body()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", metrics.CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Scrapes are no news."""


# ---- several processes


def measured(name: str, command: Sequence[str], settings: Settings) -> Child:
    """A child that serves its metrics to us, at a port of the loopback interface. Without METRICS_PORT, or a port that
    is free, just a child.
    """
    if not settings.metrics_port:
        return Child(name, command)
    try:
        listener = listening.bound("127.0.0.1", 0)
    except OSError as error:
        log.warning("metrics.no_port_free", process=name, error=error.strerror)
        return Child(name, command)
    return Child(name, [*command, "--metrics-fd", str(listener.fileno())], listener)


def urls(children: Iterable[Child]) -> dict[str, str]:
    """Child → where its metrics are, of those that serve them."""
    ports = {child.name: child.listener.getsockname()[1] for child in children if child.listener}
    return {name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()}


class Children(Collector):
    """The metrics of other processes: name → the URL of theirs. `notifier_process_up` says which of them answered."""

    def __init__(self, urls: Callable[[], Mapping[str, str]], token: str | None) -> None:
        self._urls, self._token = urls, token

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("notifier_process_up", "Whether the process has answered", labels=["process"])
        urls = self._urls()
        # All at once: a scrape that waited for one silent process after the other would come to nothing
        with ThreadPoolExecutor(max(1, len(urls))) as threads:
            asked = dict(zip(urls, threads.map(self._ask, urls, urls.values()), strict=True))
        answers = {name: text for name, text in asked.items() if text is not None}
        for name in urls:
            up.add_metric([name], name in answers)
        yield up
        yield from joined(answers)

    def _ask(self, name: str, url: str) -> str | None:
        """None: it has not answered, or has ended before the end of its answer."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with DIRECTLY.open(urllib.request.Request(url, headers=headers), timeout=_CHILD_ANSWERS_S) as answer:
                return str(answer.read().decode())
        except (OSError, HTTPException) as error:
            log.warning("metrics.process_silent", process=name, error=type(error).__name__)
            return None

    def exposition(self) -> bytes:
        return generate_latest(self)


def joined(answers: Mapping[str, str]) -> Sequence[Metric]:
    """The families of all expositions, each once, with the label `process`."""
    families: dict[str, Metric] = {}
    for process, text in answers.items():
        for family in text_string_to_metric_families(text):
            mine = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            for sample in family.samples:
                mine.add_sample(sample.name, {**sample.labels, "process": process}, sample.value)
    return list(families.values())
