"""Plays Apple's push service: takes every message, over HTTP/2. `python -m bench.apple FOLDER` prints its port, the
file of its certificate and the key of an account, and leaves the certificate in the folder.

hypercorn speaks HTTP/2, in a process of its own.
"""

import asyncio
import ipaddress
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypercorn.asyncio import serve
from hypercorn.config import Config, Sockets

from notifier.ground.clock import now


async def take(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [header for header in scope["headers"] if header[0] == b"apns-id"]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def certify(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate for 127.0.0.1 that is its own authority."""
    name, at = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")]), now()
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(at - timedelta(days=1))
        .not_valid_after(at + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


async def main(place: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    certificate, key_file = place / "apple.pem", place / "apple.key"
    certificate.write_bytes(certify(key).public_bytes(Encoding.PEM))
    key_file.write_text(pem)
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.certfile, config.keyfile = str(certificate), str(key_file)
    config.accesslog = config.errorlog = None
    config.h2_max_concurrent_streams = 1000  # about what Apple allows
    config.keep_alive_max_requests = sys.maxsize
    sockets: Sockets = config.create_sockets()
    config.create_sockets = lambda: sockets  # type: ignore[method-assign]
    port = sockets.secure_sockets[0].getsockname()[1]
    print(json.dumps({"port": port, "certificate": str(certificate), "key": pem}), flush=True)
    await serve(take, config, shutdown_trigger=asyncio.Event().wait)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
