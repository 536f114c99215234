"""Keys as providers hand them out, made once a run: none stands in the repository."""

import json
from functools import cache

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def service_account(**changes: str | None) -> str:
    """The JSON file of a service account of Google's; None leaves a field out."""
    pem = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    fields = {
        "type": "service_account",
        "project_id": "shop-1234",
        "private_key_id": "0a1b2c",
        "private_key": pem,
        "client_email": "notifier@shop-1234.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not None})


@cache
def p256_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def p256_pem() -> str:
    """As the .p8 file of a key of Apple's."""
    return p256_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
