"""The head of an answer to a request, as http.client reads it, with a deadline and a faster look at the headers.

Called by `wire.http`, which gives it to urllib3's connections.
"""

import http.client
import io
import re
import socket
import time
from typing import Any

INTERIM_ANSWERS = 20  # before the one that counts
_MOST_HEADERS, _LONGEST_HEADER = 100, 65_537  # as in http.client
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\xa0-\xff]*)\r\n")
_NUMBER = re.compile(r"[0-9]{1,15}")


class TimedResponse(http.client.HTTPResponse):
    """Gives the whole response a deadline. Socket time-outs start again with every byte, so a receiver could hold a
    lane for days.

    Interim responses (RFC 9110, 15.2) are skipped. http.client skips only 100: 102 or 103 would be taken for the
    response.
    """

    def __init__(self, sock: socket.socket, *args: Any, total_s: float, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_TimedReader(self.fp.detach(), sock, total_s))

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(1 + INTERIM_ANSWERS):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == http.client.SWITCHING_PROTOCOLS:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("there are too many interim answers")

    def begin(self) -> None:
        """As http.client does it, but for who reads the headers: `parse_headers` of this module."""
        if self.headers is not None:
            return
        version, self.status, reason = self._read_status()
        if not version.startswith("HTTP/1.") and version != "HTTP/0.9":
            raise http.client.UnknownProtocol(version)
        self.code, self.reason = self.status, reason.strip()
        self.version = 10 if version in ("HTTP/1.0", "HTTP/0.9") else 11
        self.headers = self.msg = parse_headers(self.fp)
        self.chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        self.chunk_left = None
        given = self.headers.get("content-length", "")
        self.length = int(given) if _NUMBER.fullmatch(given) and not self.chunked else None
        if self.status < 200 or self.status in (204, 304) or self._method == "HEAD":
            self.length = 0
        has_end = self.chunked or self.length is not None
        self.will_close = not has_end or self._check_close()


def parse_headers(lines: io.BufferedIOBase) -> http.client.HTTPMessage:
    """As http.client's, which has the parser of e-mails made anew for each answer. That is asked only where a line is
    not just a name and a value.
    """
    read: list[bytes] = []
    while not read or read[-1] not in (b"\r\n", b"\n", b""):
        read.append(lines.readline(_LONGEST_HEADER))
        if len(read) > _MOST_HEADERS:
            raise http.client.HTTPException("there are too many headers")
    found = [_HEADER.fullmatch(line) for line in read[:-1]]
    headers = http.client.HTTPMessage()
    for match in found:
        if match is None:
            return http.client.parse_headers(io.BytesIO(b"".join(read)))
        name, value = match.groups()
        headers[name.decode()] = value.decode("iso-8859-1")
    return headers


class _TimedReader(io.RawIOBase):
    def __init__(self, raw: io.RawIOBase, sock: socket.socket, total_s: float) -> None:
        self.raw = raw
        self.sock = sock
        self.pause_s = sock.gettimeout() or total_s
        self.ends_at = time.monotonic() + total_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        self.sock.settimeout(min(left, self.pause_s))
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()
