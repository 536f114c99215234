"""What the adapters of Amazon's services have in common: signed requests, and the words for what went wrong.

Signature Version 4, https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html, by
hand: botocore would bring 32 MB for these forty lines. In the tests it is the judge.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from urllib.parse import quote, urlsplit

from notifier.channels.wire.answers import Family, Response
from notifier.core.errors import Misconfigured, RateLimited, Retryable

_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d")
_ACCESS_KEY = re.compile(r"\w{16,128}", re.ASCII)
_CODE = re.compile(rb"<Code>([\w.]+)</Code>")

# What every service may answer, by its code
# (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html).
CODES: dict[str | int, Family] = {
    "AccessDenied": Misconfigured,
    "AccessDeniedException": Misconfigured,
    "AuthorizationError": Misconfigured,
    "ExpiredToken": Misconfigured,
    "ExpiredTokenException": Misconfigured,
    "IncompleteSignature": Misconfigured,
    "IncompleteSignatureException": Misconfigured,
    "InvalidClientTokenId": Misconfigured,
    "InvalidSignatureException": Misconfigured,
    "MissingAuthenticationToken": Misconfigured,
    "MissingAuthenticationTokenException": Misconfigured,
    "NotAuthorized": Misconfigured,
    "OptInRequired": Misconfigured,
    "RequestExpired": Misconfigured,  # this and the next: our clock is wrong
    "RequestTimeTooSkewed": Misconfigured,
    "SignatureDoesNotMatch": Misconfigured,
    "UnrecognizedClientException": Misconfigured,
    "RequestLimitExceeded": RateLimited,
    "ThrottledException": RateLimited,
    "Throttling": RateLimited,
    "ThrottlingException": RateLimited,
    "TooManyRequestsException": RateLimited,
    "InternalError": Retryable,
    "InternalFailure": Retryable,
    "InternalServerError": Retryable,
    "ServiceUnavailable": Retryable,
    "ServiceUnavailableException": Retryable,
}


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs POST requests to one service in one region, with the key of one account."""

    service: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def of(cls, service: str, options: Mapping[str, str], prefix: str) -> "Signer | None":
        """From an adapter's settings PREFIX_REGION, PREFIX_ACCESS_KEY and PREFIX_SECRET_KEY; None where one is missing.
        Raises ValueError for a region or key that is none.
        """
        names = [f"{prefix}_REGION", f"{prefix}_ACCESS_KEY", f"{prefix}_SECRET_KEY"]
        region, access_key, secret_key = (options.get(name, "") for name in names)
        if region and not _REGION.fullmatch(region):
            raise ValueError(f"{prefix}_REGION: must be a region such as eu-central-1")
        if access_key and not _ACCESS_KEY.fullmatch(access_key):
            raise ValueError(f"{prefix}_ACCESS_KEY: must be the id of an access key, such as AKIAIOSFODNN7EXAMPLE")
        return cls(service, region, access_key, secret_key) if region and access_key and secret_key else None

    def headers(self, url: str, body: bytes, content_type: str, at: datetime) -> dict[str, str]:
        """Those of a POST at that moment. `url` has no query."""
        parts = urlsplit(url)
        stamp = at.strftime("%Y%m%dT%H%M%SZ")
        signed = {"content-type": content_type, "host": parts.netloc, "x-amz-date": stamp}
        names = ";".join(signed)  # in the order of the alphabet, as they must be
        lines = ["POST", quote(parts.path or "/"), "", *(f"{name}:{value}" for name, value in signed.items())]
        request = "\n".join([*lines, "", names, sha256(body).hexdigest()])
        scope = f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        return {
            "Content-Type": content_type,
            "X-Amz-Date": stamp,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}",
        }


def host(service: str, region: str) -> str:
    """`sns`, `eu-central-1` → `sns.eu-central-1.amazonaws.com`: https://docs.aws.amazon.com/general/latest/gr/rande.html"""
    return f"{service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def code_of(response: Response) -> str | None:
    """The service's word for an error: from the header, JSON (`__type`) or XML (`<Code>`). None where there is none."""
    if response.is_success:
        return None
    told = response.headers.get("x-amzn-errortype") or response.json().get("__type") or response.json().get("code")
    if isinstance(told, str):
        return (
            told.partition(":")[0].rpartition("#")[2] or None
        )  # "com.amazonaws.ses#Throttling", "Throttling:http://…"
    found = _CODE.search(response.body)
    return found[1].decode() if found else None
