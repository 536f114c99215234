"""Plays Google and Twilio over plain HTTP: takes every message that is signed in, and answers as their documents show.
`python -m bench.providers` prints its port and the JSON of a service account.
"""

import asyncio
import itertools
import json
import secrets
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.sample import PROJECT, TWILIO_ACCOUNT
from bench.sink import Receiver

_TOKEN_PATH = "/token"
_MESSAGES = {
    f"/v1/projects/{PROJECT}/messages:send": "fcm",
    f"/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages.json": "twilio",
}
_ACCESS_TOKEN = f"ya29.{secrets.token_urlsafe(96)}"
_numbers = itertools.count(1)


class Provider(Receiver):
    def answer(self, request: bytes) -> None:
        head, _, body = request.partition(b"\r\n\r\n")
        status, said = _answer(head.decode("latin-1"), body.decode())
        text = json.dumps(said).encode()
        start = f"HTTP/1.1 {status}\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {len(text)}"
        self.transport.write(start.encode() + b"\r\n\r\n" + text)


def _answer(head: str, body: str) -> tuple[str, dict[str, Any]]:
    first, *lines = head.split("\r\n")
    path = first.split(" ")[1]
    if path == _TOKEN_PATH:
        return "200 OK", {"access_token": _ACCESS_TOKEN, "expires_in": 3599, "token_type": "Bearer"}
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    signed_in = headers.get("authorization", "")
    match _MESSAGES.get(path):
        case "fcm" if signed_in == f"Bearer {_ACCESS_TOKEN}" and json.loads(body)["message"]["token"]:
            return "200 OK", {"name": f"projects/{PROJECT}/messages/0:{next(_numbers):016d}%31bd1c9631bd1c96"}
        case "fcm":
            return "401 Unauthorized", {"error": {"code": 401, "message": "Refused", "status": "UNAUTHENTICATED"}}
        case "twilio" if signed_in.startswith("Basic "):
            return "201 Created", _message({name: values[0] for name, values in parse_qs(body).items()})
        case "twilio":
            return "401 Unauthorized", {"code": 20003, "message": "Authenticate", "status": 401}
    return "404 Not Found", {}


def _message(form: dict[str, str]) -> dict[str, Any]:
    """Twilio's message resource, as it is just after its creation."""
    sid = f"SM{next(_numbers):032x}"
    uri = f"/2010-04-01/Accounts/{TWILIO_ACCOUNT}/Messages/{sid}"
    return {
        "account_sid": TWILIO_ACCOUNT,
        "api_version": "2010-04-01",
        "body": form["Body"],
        "date_created": "Thu, 24 Aug 2023 05:01:45 +0000",
        "date_sent": None,
        "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": form["From"],
        "messaging_service_sid": None,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": None,
        "sid": sid,
        "status": "queued",
        "subresource_uris": {"media": f"{uri}/Media.json"},
        "to": form["To"],
        "uri": f"{uri}.json",
    }


def _service_account(port: int) -> str:
    """The file that Google's console hands out, with a key of this run."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return json.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "bench",
            "private_key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "client_email": f"bench@{PROJECT}.iam.gserviceaccount.com",
            "token_uri": f"http://127.0.0.1:{port}{_TOKEN_PATH}",
        }
    )


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "service_account": _service_account(port)}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
