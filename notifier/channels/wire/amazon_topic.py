"""Messages of an Amazon SNS topic, as they come to an HTTPS endpoint: whether they are the topic's, and what they hold.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from notifier.channels.receipts import HookRefused, HookRequest, Misdirected, Unreadable, moment
from notifier.channels.wire.amazon import host
from notifier.channels.wire.http import Http
from notifier.core.errors import Misconfigured, Permanent

_ARN = re.compile(r"arn:aws[a-z-]*:sns:([a-z]{2}(?:-[a-z]+)+-\d):\d{12}:[\w-]{1,256}", re.ASCII)
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9A-Za-z]{1,64}\.pem")
_CERTIFICATES = 8  # that are kept; a topic has one at a time

# What is signed, in this order, each as its name and value on lines of their own. An empty Subject is left out.
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: dict[str, type[HashAlgorithm]] = {"1": SHA1, "2": SHA256}


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """What was published. `id` is the same when it is delivered again."""

    id: str
    at: datetime
    text: str


class Topic:
    """One topic, whose subscription to our endpoint it confirms. Raises ValueError for an ARN that is none."""

    def __init__(self, arn: str, http: Http) -> None:
        found = _ARN.fullmatch(arn)
        if found is None:
            raise ValueError("it is not the ARN of a topic, such as arn:aws:sns:eu-central-1:123456789012:mail-events")
        self.arn = arn
        self._url = f"https://{host('sns', found[1])}"
        self._http = http
        self._keys: OrderedDict[str, RSAPublicKey] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, request: HookRequest) -> TopicMessage | None:
        """None: it is about the subscription.

        Anybody's topic has a valid signature, so the ARN is looked at first. SNS repeats for an hour what we did not
        take, with the time of the first try: that is no sign of a replay, but its id is.

        Raises HookRefused; a DeliveryError where Amazon does not answer.
        """
        envelope = request.json()
        if not isinstance(envelope, dict):
            raise Unreadable("the body is not an object; is raw message delivery on?")
        if envelope.get("TopicArn") != self.arn:
            raise HookRefused("it is not of this topic")
        kind = str(envelope.get("Type"))
        if kind not in _SIGNED or kind != request.headers.get("x-amz-sns-message-type"):
            raise HookRefused("it is of no kind that a topic sends")
        self._verify(envelope, _SIGNED[kind])
        if kind == "Notification":
            return TopicMessage(envelope["MessageId"], moment(envelope["Timestamp"], request.at), envelope["Message"])
        if kind == "UnsubscribeConfirmation":
            raise Misdirected("the topic's subscription was ended: no receipts will come any more")
        # Its SubscribeURL is not followed: whoever could forge it would choose what we call
        self._http.post_form(
            f"{self._url}/",
            {
                "Action": "ConfirmSubscription",
                "Version": "2010-03-31",
                "TopicArn": self.arn,
                "Token": envelope["Token"],
            },
            {},
        )
        return None

    def _verify(self, envelope: Mapping[str, Any], names: tuple[str, ...]) -> None:
        hashed = _HASHES.get(str(envelope.get("SignatureVersion")))
        lines = [(name, envelope.get(name)) for name in names if name != "Subject" or envelope.get(name)]
        if hashed is None or not all(isinstance(value, str) for _, value in lines):
            raise HookRefused("it is not signed as a topic signs")
        signed = "".join(f"{name}\n{value}\n" for name, value in lines)
        key = self._key(str(envelope.get("SigningCertURL")))
        try:
            key.verify(base64.b64decode(str(envelope.get("Signature"))), signed.encode(), PKCS1v15(), hashed())
        except (ValueError, InvalidSignature):
            raise HookRefused("the signature is wrong") from None

    def _key(self, url: str) -> RSAPublicKey:
        """The key of a certificate at Amazon, in the topic's region. One is fetched at a time."""
        key = self._keys.get(url)
        if key is not None:
            return key
        if not url.startswith(self._url) or not _CERTIFICATE.fullmatch(url.removeprefix(self._url)):
            raise HookRefused("its certificate is not Amazon's")
        with self._lock:
            if url not in self._keys:
                self._keys[url] = self._fetch(url)
                if len(self._keys) > _CERTIFICATES:
                    self._keys.popitem(last=False)
            return self._keys[url]

    def _fetch(self, url: str) -> RSAPublicKey:
        try:
            key = x509.load_pem_x509_certificate(self._http.request("GET", url).body).public_key()
        except (Permanent, Misconfigured, ValueError):
            key = None
        if not isinstance(key, RSAPublicKey):
            raise HookRefused("there is no such certificate")
        return key
