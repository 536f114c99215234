"""A web server that counts what it receives for each delivery, and answers after a while."""

import asyncio
import threading
from collections import Counter
from http import HTTPStatus

SOON_S = 0.08
_ANSWER = f"HTTP/1.1 {HTTPStatus.NO_CONTENT.value} No Content\r\n\r\n".encode()


class Sink:
    """`received`: delivery id → how often it came. Counted on arrival, since a sender may be dead before the answer."""

    def __init__(self, answers_after_s: float = SOON_S) -> None:
        self.received: Counter[str] = Counter()
        self.answers_after_s = answers_after_s
        self.port = 0
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        threading.Thread(target=self._serve, args=(listening,), name="sink", daemon=True).start()
        listening.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self, listening: threading.Event) -> None:
        async def listen() -> None:
            server = await self._loop.create_server(lambda: _Conversation(self), "127.0.0.1", 0, backlog=1024)
            self.port = server.sockets[0].getsockname()[1]
            listening.set()

        self._loop.run_until_complete(listen())
        self._loop.run_forever()


class _Conversation(asyncio.Protocol):
    """One connection, kept open: requests one after the other."""

    def __init__(self, sink: Sink) -> None:
        self.sink, self.unread = sink, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.unread += data
        head, end, rest = self.unread.partition(b"\r\n\r\n")
        if not end:
            return
        pairs = (line.split(b":", 1) for line in head.split(b"\r\n")[1:])
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        length = int(headers[b"content-length"])
        if len(rest) < length:
            return
        self.unread = rest[length:]
        self.sink.received[headers[b"webhook-id"].decode()] += 1
        asyncio.get_running_loop().call_later(self.sink.answers_after_s, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_ANSWER)
