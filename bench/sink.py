"""A receiver of webhooks, on three ports: one answers at once, one after 100 ms, one never. Prints the ports."""

import asyncio
import functools
import json

SLOW_S = 0.1
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Receiver(asyncio.Protocol):
    def __init__(self, delay_s: float | None) -> None:
        self._delay_s = delay_s
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (request := _whole_request(self._received)) is not None:
            self._received = self._received[request:]
            if self._delay_s == 0:
                self._transport.write(_ANSWER)
            elif self._delay_s:
                asyncio.get_running_loop().call_later(self._delay_s, self._transport.write, _ANSWER)


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
        await loop.create_server(functools.partial(_Receiver, delay), "127.0.0.1", 0) for delay in (0, SLOW_S, None)
    ]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
