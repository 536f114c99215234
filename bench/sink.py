"""A receiver of webhooks, on three ports: one answers at once, one after 100 ms, one never. Prints the ports."""

import asyncio
import functools
import json

SLOW_S = 0.1
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Hands on one whole request after the other."""

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (length := _whole_request(self._received)) is not None:
            request, self._received = self._received[:length], self._received[length:]
            self.answer(request)

    def answer(self, request: bytes) -> None:
        raise NotImplementedError


class _Webhook(Receiver):
    def __init__(self, delay_s: float | None) -> None:
        super().__init__()
        self._delay_s = delay_s

    def answer(self, request: bytes) -> None:
        if self._delay_s == 0:
            self.transport.write(_ANSWER)
        elif self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self.transport.write, _ANSWER)


def _whole_request(received: bytes) -> int | None:
    """The length of the request at the front, once all of it is there."""
    head, gap, _ = received.partition(b"\r\n\r\n")
    if not gap:
        return None
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    whole = len(head) + len(gap) + sum(lengths)
    return whole if len(received) >= whole else None


async def main() -> None:
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(functools.partial(_Webhook, delay), "127.0.0.1", 0) for delay in (0, SLOW_S, None)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
