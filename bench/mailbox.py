"""A mail server that takes every mail and keeps the first: `python -m bench.mailbox FILE` prints its port.

aiosmtpd takes a millisecond of CPU for each mail, which would be most of what is measured.
"""

import asyncio
import json
import sys
from pathlib import Path

_END = b"\r\n.\r\n"
_GREETING = b"250-bench\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n"  # as Postfix, Exim and Exchange offer


class Session(asyncio.Protocol):
    """One connection; commands may come one at a time or several at once."""

    kept: Path

    def __init__(self) -> None:
        self._received = b""
        self._is_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"220 bench\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        while True:
            taken, end, rest = self._received.partition(_END if self._is_data else b"\r\n")
            if not end:
                return
            self._received = rest
            if self._is_data:
                self._take(taken + b"\r\n")
            else:
                self._obey(taken[:4].upper())

    def _take(self, mail: bytes) -> None:
        self._is_data = False
        if not self.kept.exists():
            self.kept.write_bytes(mail.replace(b"\r\n..", b"\r\n."))
        self.transport.write(b"250 2.0.0 taken\r\n")

    def _obey(self, command: bytes) -> None:
        if command == b"QUIT":
            self.transport.write(b"221 2.0.0 bye\r\n")
            self.transport.close()
        elif command == b"EHLO":
            self.transport.write(_GREETING)
        elif command == b"DATA":
            self._is_data = True
            self.transport.write(b"354 go on\r\n")
        else:
            self.transport.write(b"250 2.0.0 yes\r\n")


async def main(kept: Path) -> None:
    Session.kept = kept
    server = await asyncio.get_running_loop().create_server(Session, "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
