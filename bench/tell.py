"""Calls a web process's hooks as two providers do, signed as their documents say, and prints how fast it answered.

`python -m bench.tell one|many`; told by its input: `{"ids": [deliveries], "key": PEM, "size": events a call}`.
"""

import argparse
import base64
import hmac
import itertools
import json
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from bench.load import post

SMS, MAIL = "twilio", "sendgrid"
PUBLIC_URL = "https://bench.example"
_ACCOUNT, _TOKEN = "AC" + "0" * 32, "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
_RUN = secrets.token_hex(8)  # in the events' ids: one that is told again, in a second round, is a repeat


def new_key() -> str:
    """A private key, as PEM."""
    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def settings(key: str) -> dict[str, str]:
    """With which both providers serve the installation, and are believed."""
    public = _opened(key).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {
        "PUBLIC_URL": PUBLIC_URL,
        "TRUSTED_PROXIES": "0",
        "TWILIO_ACCOUNT_SID": _ACCOUNT,
        "TWILIO_AUTH_TOKEN": _TOKEN,
        "TWILIO_FROM": "+15005550006",
        "SENDGRID_API_KEY": "SG.bench",
        "SENDGRID_FROM": "bench@bench.example",
        "SENDGRID_WEBHOOK_KEY": base64.b64encode(public).decode(),
    }


def _opened(key: str) -> EllipticCurvePrivateKey:
    opened = load_pem_private_key(key.encode(), None)
    assert isinstance(opened, EllipticCurvePrivateKey)
    return opened


def _one(ids: Sequence[str]) -> Iterator[bytes]:
    for number in itertools.count():
        path = f"/hooks/{SMS}?delivery={ids[number % len(ids)]}"
        fields = {
            "AccountSid": _ACCOUNT,
            "MessageSid": f"SM{_RUN}{number:016x}",
            "MessageStatus": "delivered",
            "To": "+4915112345678",
        }
        signed = PUBLIC_URL + path + "".join(name + fields[name] for name in sorted(fields))
        signature = base64.b64encode(hmac.digest(_TOKEN.encode(), signed.encode(), "sha1")).decode()
        headers = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}
        yield _request(path, headers, urlencode(fields).encode())


def _many(ids: Sequence[str], key: EllipticCurvePrivateKey, size: int) -> Iterator[bytes]:
    for first in itertools.count(step=size):
        at = str(int(time.time()))
        events = [
            {
                "event": "delivered",
                "sg_event_id": f"event-{_RUN}-{number}",
                "sg_message_id": f"message-{_RUN}-{number}.filter",
                "timestamp": int(at),
                "email": "person@bench.example",
                "notifier_delivery": ids[number % len(ids)],
            }
            for number in range(first, first + size)
        ]
        body = json.dumps(events).encode()
        headers = {
            "X-Twilio-Email-Event-Webhook-Timestamp": at,
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(
                key.sign(at.encode() + body, ECDSA(SHA256()))
            ).decode(),
            "Content-Type": "application/json",
        }
        yield _request(f"/hooks/{MAIL}", headers, body)


def _request(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("one", "many"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    requests = _one(told["ids"]) if given.kind == "one" else _many(told["ids"], _opened(told["key"]), told["size"])
    clients = 8 if given.kind == "many" else 48
    print(json.dumps(post(given.port, requests, clients=clients, seconds=given.seconds)), flush=True)


if __name__ == "__main__":
    main()
