"""Servers that speak HTTP/2 over TLS: hypercorn, which plays any host, and one that follows a script frame by frame."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from hypercorn.asyncio import serve
from hypercorn.config import Config

from tests.channels.conftest import Authority, Request, Sink
from tests.running import installed


class Http2Sink(Sink):
    """As `Sink`, by hypercorn, whose options it takes."""

    def __init__(self, authority: Authority, **options: Any) -> None:
        self.requests: list[Request] = []
        self.answer = self.answering(200, {}, b"{}")
        self.choose = lambda _: self.answer
        self.released = threading.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        quiet = {"accesslog": None, "errorlog": None, "graceful_timeout": 0.1}
        config = Config.from_mapping({"bind": [f"fd://{listener.detach()}"], **quiet, **options})
        config.certfile = config.keyfile = "made by the authority"
        tls = authority.server("h2")  # now: a test may stop the clock
        config.create_ssl_context = lambda: tls  # type: ignore[method-assign]
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(64))
        self.ended = asyncio.Event()
        self.thread = threading.Thread(target=self._serve, args=(config,), daemon=True)
        self.thread.start()

    def _serve(self, config: Config) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            self.loop.run_until_complete(serve(self._app, config, shutdown_trigger=self.ended.wait))  # type: ignore[arg-type]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Request(scope["method"], scope["path"], headers, body, scope["client"])
        self.requests.append(request)
        answer = _Answer()
        await asyncio.to_thread(self.choose(request), answer, request)  # type: ignore[arg-type]
        if not answer.status:
            return  # and hypercorn says 500
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def holds(self, path: str | None = None) -> None:
        """Answers requests for the path (None: all) when it is `released`, and others at once."""
        ok = self.answering(200, {}, b"ok")

        def answer(handler: Any, request: Request) -> None:
            if path in (None, request.path):
                self.released.wait(30)
            ok(handler, request)

        self.answer = answer

    def close(self) -> None:
        self.released.set()
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(10)


class _Answer:
    """What answers use of a handler of http.server."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.wfile = self

    def send_response(self, status: int, _: str = "") -> None:
        self.status = status

    def send_header(self, name: str, value: str) -> None:
        self.headers.append((name.lower().encode(), value.encode()))

    def end_headers(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.body += data


Script = Callable[["Peer"], None]


class Peer:
    """The server's end of one connection, in the hands of a script. h2 writes and reads the frames."""

    def __init__(self, connection: ssl.SSLSocket, number: int) -> None:
        self.connection = connection
        self.number = number  # of the connection, from 1
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))

    def greet(self, settings: dict[int, int] | None = None) -> None:
        self.h2.local_settings.update(settings or {})
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        self.connection.sendall(self.h2.data_to_send())

    def send(self, *frames: Any) -> None:
        """As they are, h2 unasked."""
        self.connection.sendall(b"".join(frame.serialize() for frame in frames))

    def events(self) -> Iterator[Any]:
        """Until the client hangs up."""
        while data := self.connection.recv(65536):
            yield from self.h2.receive_data(data)
            self.flush()

    def requests(self) -> Iterator[int]:
        """The streams of whole requests."""
        return (event.stream_id for event in self.events() if type(event).__name__ == "StreamEnded")

    def answer(self, stream_id: int, status: int = 200, body: bytes = b"{}") -> None:
        self.h2.send_headers(stream_id, [(":status", str(status)), ("apns-id", f"{self.number}-{stream_id}")])
        self.h2.send_data(stream_id, body, end_stream=True)
        self.flush()

    def abort(self) -> None:
        """By a reset, as when a process is killed."""
        raw = self.connection
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        raw.close()


@contextmanager
def scripted(authority: Authority, script: Script) -> Iterator[str]:
    """→ the URL of a server that runs the script for each connection."""
    tls = authority.server("h2")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            number = 0
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    number += 1
                    threading.Thread(target=run, args=(connection, number), daemon=True).start()

        def run(connection: socket.socket, number: int) -> None:
            with contextlib.suppress(OSError), tls.wrap_socket(connection, server_side=True) as wrapped:
                script(Peer(wrapped, number))

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


async def app_that_is_killed(scope: Any, receive: Any, send: Any) -> None:
    """Answers the first request, and is killed when four more have come."""
    global _arrived
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    _arrived += 1
    if _arrived == 1:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
    elif _arrived == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        await asyncio.sleep(60)


_arrived = 0


@contextmanager
def nginx(authority: Authority, upstream: int, place: Path) -> Iterator[str]:
    """→ the URL of an nginx that speaks HTTP/2, says goodbye after five requests and asks a server of HTTP/1.1."""
    program = installed("nginx")
    authority.server_for("127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    pem = authority.place / "127.0.0.1.pem"
    (place / "nginx.conf").write_text(f"""
        daemon off; master_process off; error_log stderr; pid {place}/pid;
        events {{}}
        http {{
            access_log off; keepalive_requests 5;
            client_body_temp_path {place}/1; proxy_temp_path {place}/2;
            fastcgi_temp_path {place}/3; uwsgi_temp_path {place}/4; scgi_temp_path {place}/5;
            server {{
                listen 127.0.0.1:{port} ssl http2; ssl_certificate {pem}; ssl_certificate_key {pem};
                location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
            }}
        }}""")
    process = subprocess.Popen([program, "-p", str(place), "-c", str(place / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)
