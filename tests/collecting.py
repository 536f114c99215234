"""An HTTP collector for tests: keeps each event that it confirmed, and fails as told."""

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

Answer = Callable[[list[dict[str, Any]]], int]


class HttpReceiver:
    """`answer(events)` → the status of a batch. `events`: those of batches that were answered with 2xx, in their order;
    `headers`: of the last request.
    """

    def __init__(self, answer: Answer = lambda _events: 200) -> None:
        self.answer = answer
        self.events: list[dict[str, Any]] = []
        self.batches: list[tuple[int, int]] = []  # status and size
        self.headers: dict[str, str] = {}
        self.path = ""
        self.retry_after: str | None = None
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                events = [json.loads(line) for line in body.splitlines()]
                receiver.headers, receiver.path = dict(self.headers), self.path
                status = receiver.answer(events)
                receiver.batches.append((status, len(events)))
                if 200 <= status < 300:
                    receiver.events += events
                self.send_response(status)
                if receiver.retry_after:
                    self.send_header("Retry-After", receiver.retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.netloc = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.netloc}/events"

    def reasons(self) -> list[str]:
        """What tests tell events apart by."""
        return [event["data"]["reason"] for event in self.events]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
