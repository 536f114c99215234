"""A receiver of webhooks, to try them and to copy from: checks the signature (Standard Webhooks) and prints what came.

    python docs/receiving/receiver.py whsec_…        listens on http://127.0.0.1:8099/

In development set OUTBOUND_ALLOW=127.0.0.0/8 for Notifier, or it refuses to call this machine.
"""

import argparse
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 300
MOST = 1_000_000  # bytes of a body


def fault(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> str | None:
    """Why a call is not to be believed; None: it is genuine."""
    message, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not at.isdecimal() or abs(now - int(at)) > TOLERANCE_S:
        return "its time is missing, or more than five minutes from ours"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = hmac.new(key, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = f"v1,{base64.b64encode(signed).decode()}".encode()
    given = headers.get("webhook-signature", "").split()
    if not any(hmac.compare_digest(expected, one.encode()) for one in given):
        return "no signature is by our secret"
    return None


class Receiver(ThreadingHTTPServer):
    def __init__(self, port: int, secret: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.secret = secret
        self.seen: set[str] = set()  # in a program that stays, a table


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MOST:
            self.answer(413)
            return
        body = self.rfile.read(int(length))
        wrong = fault(self.headers, body, self.server.secret, time.time())
        if wrong:
            print(f"REFUSED: {wrong}", flush=True)
            self.answer(401)
            return
        message = self.headers["webhook-id"]
        repeat = " (a repeat)" if message in self.server.seen else ""
        self.server.seen.add(message)
        event = json.loads(body)
        print(f"{event['type']} {message}{repeat} {json.dumps(event['data'])}", flush=True)
        self.answer(204)

    def answer(self, status: int) -> None:
        """Soon: what takes long is done afterwards."""
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("secret", help="of the status webhook, or of the person's webhook address")
    parser.add_argument("--port", type=int, default=8099)
    given = parser.parse_args()
    if len(given.secret) <= len("whsec_") or not given.secret.startswith("whsec_"):
        parser.error("the secret begins with whsec_; without one anybody could sign")
    receiver = Receiver(given.port, given.secret)
    print(f"Listening on http://127.0.0.1:{receiver.server_address[1]}/", flush=True)
    receiver.serve_forever()
