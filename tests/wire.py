"""A wire that breaks as it is told, between a client and a server."""

import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

# JSON of a proxy that is none of ours
FOREIGN = [
    b'{"errors": ["no"], "detail": ["no"]}',
    b'{"errors": {"a": 1}, "detail": "no"}',
    b'{"errors": [{"code": 1}], "error": {}}',
]

# What the wire does with the next request instead of handing it on, or after it has been carried out
CLOSED = "closed"  # without a word
LOST = "lost"  # carried out, and the answer is lost
AGAIN = (503, {"Retry-After": "0"})


class Wire(ThreadingHTTPServer):
    """A proxy before `target` (None: everything is 404). `faults`: what becomes of the next requests: a status, its
    headers and perhaps a body, CLOSED, LOST, or None: handed on, as all are after them. `seen`: (method, path, headers,
    body) of each.
    """

    def __init__(self, target: str | None) -> None:
        self.target = target
        self.faults: list[str | tuple[int, dict[str, str]] | tuple[int, dict[str, str], bytes] | None] = []
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Wire
    protocol_version = "HTTP/1.1"

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, tuple):
            self._say(*fault)
            return
        if fault is None:
            self._say(*self._handed_on(body))
            return
        if fault == LOST:
            self._handed_on(body)
        self.close_connection = True

    do_GET = do_POST = do_PUT = handle_one  # noqa: N815 (the base's names)

    def _handed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self.server.target is None:
            return 404, {}, b"nothing here"
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        request = urllib.request.Request(self.server.target + self.path, body or None, kept, method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, _told(answer.headers), answer.read()
        except urllib.error.HTTPError as refused:
            return refused.code, _told(refused.headers), refused.read()

    def _say(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _told(headers: Any) -> dict[str, str]:
    return {name: headers[name] for name in ("Content-Type", "Retry-After", "Link") if headers[name]}


@pytest.fixture
def wire_to() -> Iterator[Callable[[str | None], Wire]]:
    """`wire_to("http://…")` → a wire before that server."""
    wires: list[Wire] = []

    def _wire_to(target: str | None) -> Wire:
        wires.append(Wire(target))
        return wires[-1]

    yield _wire_to
    for wire in wires:
        wire.shutdown()
        wire.server_close()
