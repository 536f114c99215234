"""Everything else: the 160 services of the library Apprise that are called by HTTP
(https://github.com/caronc/apprise/wiki). An address is a URL of Apprise's, such as `ntfys://push.example.com/orders`.

The URL is a person's, so the library is not trusted with it. Every call of its services goes through our own client,
which checks where it leads, trusts no other certificates and follows no redirects; services that use anything but
requests, or read files, are refused, and files as templates and attachments are switched off. The library tells yes or
no: what a call came to is read from its HTTP answer.
"""

import hashlib
import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from notifier.channels.contract import RECEIVER_MARK, Adapter, AddressKind, Channel, Shape
from notifier.channels.wire.answers import Response, explain, not_understood
from notifier.channels.wire.chat import STATUSES_OF_A_HOOK, link
from notifier.channels.wire.http import Http
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent
from notifier.core.message import Message, Receipt, Recipient

logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it quotes URLs, which are secrets

# They are called by HTTP, and read or write files besides.
READ_FILES = frozenset({"NotifyFCM", "NotifyVapid", "NotifyRSyslog"})
_URL = re.compile(r"([a-z][a-z0-9]{1,30})://(\S{1,2000})")


def _parse(value: str) -> str:
    text = value.strip()
    if not _URL.fullmatch(text) or not text.isprintable():
        raise ValueError("This is not an Apprise URL (such as ntfys://push.example.com/orders).")
    return text


def _mask(value: str) -> str:
    return f"{value.partition('://')[0][:32]}://…"


APPRISE = Channel(
    "apprise",
    "Other services",
    # `url`: the value is as secret as a URL, and is not called as it stands
    AddressKind("Apprise URL", "ntfys://push.example.com/orders", _parse, _mask, url=lambda _: None, is_opaque=True),
    Shape(has_card=True, longest_body=2_000),
    every_address=True,
)


class Apprise(Adapter):
    channel = APPRISE
    provider = "apprise"
    label = "Apprise"

    def send(self, message: Message, to: Recipient) -> Receipt:
        service = _service(to.address)
        title, body = _text(message)
        with _Exchange(self.http, message.delivery_id) as exchange:
            try:
                is_sent = service.notify(title=title, body=body)
            except Exception as error:  # the library's, at what a stranger's server said; it may quote the URL
                if exchange.last is not None:
                    raise exchange.error() from None
                if isinstance(error, TypeError):  # for a message that this service has no use for
                    raise Permanent("the service takes no such message", code="not_taken") from None
                raise Permanent("the service cannot be used", code="service_broke") from None
        if not is_sent:
            raise exchange.error()
        return Receipt("sent")

    def scope(self, to: Recipient) -> str:
        """One service on one host, which is often the secret itself."""
        found = _URL.fullmatch(to.address)
        if found is None:
            return self.name
        host = re.split("[/?]", found[2], maxsplit=1)[0]
        return f"{self.name}:{found[1]}:{hashlib.sha256(host.encode()).hexdigest()[:8]}"

    def receiver(self, to: Recipient) -> str:
        return f"{self.scope(to)}{RECEIVER_MARK}{hashlib.sha256(to.address.encode()).hexdigest()[:16]}"

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        title, body = _text(message)
        return {**super().preview(message, to), "payload": {"title": title, "body": body}}


def _text(message: Message) -> tuple[str, str]:
    action = link(message.content)
    return message.content.title, "\n\n".join(part for part in (message.content.body, action and action[1]) if part)


def _service(url: str) -> Any:
    """The library's object for one URL. Raises InvalidRecipient."""
    library, services = _library()
    schema = url.partition("://")[0]
    if schema not in services:
        raise InvalidRecipient("Apprise has no such service, or it may not be used here", code="unknown_service")
    asset = library.AppriseAsset(async_mode=False, secure_logging=True, storage_mode="memory")
    service = library.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise InvalidRecipient("the service cannot make sense of this URL", code="bad_url")
    service.request_rate_per_sec = 0  # it would sleep between calls; how fast to send is `admit`'s affair
    service.overflow_mode = library.OverflowMode.TRUNCATE
    return service


@lru_cache(maxsize=1)
def _library() -> tuple[Any, frozenset[str]]:
    """The library and the schemas that may be used. Loaded when the first message is sent: it takes a second."""
    import apprise  # noqa: PLC0415
    import requests  # noqa: PLC0415
    from apprise.manager_attachment import AttachmentManager  # noqa: PLC0415
    from apprise.manager_plugins import NotificationManager  # noqa: PLC0415

    requests.sessions.HTTPAdapter = _guarded(requests)  # type: ignore[attr-defined]
    AttachmentManager().remove(*AttachmentManager().schemas())
    services = NotificationManager()
    may_be_used = {
        schema
        for service in services.plugins(include_disabled=False)
        if hasattr(sys.modules[service.__module__], "requests") and service.__name__ not in READ_FILES
        for kind in (service.protocol, service.secure_protocol)
        for schema in ([kind] if isinstance(kind, str) else kind or ())
    }
    return apprise, frozenset(may_be_used)


class _Exchange:
    """The calls that are made for one message, on one thread. A service that makes several has failed at the last."""

    def __init__(self, http: Http, delivery_id: str) -> None:
        self.http = http
        self.delivery_id = delivery_id
        self.last: Response | DeliveryError | None = None

    def __enter__(self) -> "_Exchange":
        _this_thread.exchange = self
        return self

    def __exit__(self, *_: object) -> None:
        _this_thread.exchange = None

    def error(self) -> DeliveryError:
        """Why the message was not sent."""
        if isinstance(self.last, DeliveryError):
            return self.last
        if self.last is None:
            return Permanent("the service refused the message before it was called", code="refused")
        return explain(self.last, STATUSES_OF_A_HOOK) or not_understood(self.last)


_this_thread = threading.local()


def _guarded(requests: Any) -> Any:
    """The transport of every session of `requests` in this process."""

    class Guarded(requests.adapters.HTTPAdapter):  # type: ignore[misc]
        def send(self, request: Any, *_: Any, **__: Any) -> Any:
            exchange: _Exchange | None = getattr(_this_thread, "exchange", None)
            if exchange is None:
                raise requests.ConnectionError("no message is being sent")
            try:
                answer = exchange.http.request(
                    request.method or "GET",
                    request.url or "",
                    body=_body(request),
                    headers={**_headers(request.headers), "X-Request-Id": exchange.delivery_id},
                    explain=lambda response: None,
                )
            except ValueError:
                exchange.last = Permanent("a header of the service's cannot be sent", code="bad_header")
                raise requests.exceptions.InvalidHeader from None
            except DeliveryError as error:
                exchange.last = error
                raise requests.ConnectionError(str(error)) from None
            exchange.last = answer
            return _as_requests(requests, answer, request)

    return Guarded


def _body(request: Any) -> bytes | None:
    body: bytes | str | Iterable[bytes] | None = request.body
    if body is None or isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else b"".join(body)


def _headers(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    kept = {name: value.decode("latin-1") if isinstance(value, bytes) else value for name, value in headers.items()}
    # Our client reads no compressed answers, and says itself how long a body is.
    return {n: v for n, v in kept.items() if n.lower() not in ("accept-encoding", "content-length", "connection")}


def _as_requests(requests: Any, answer: Response, request: Any) -> Any:
    found = requests.Response()
    found.status_code = answer.status
    # Without its Location a redirect is not followed.
    found.headers.update({name: value for name, value in answer.headers.items() if name.lower() != "location"})
    found._content = answer.body
    found.encoding = "utf-8"
    found.url, found.request = request.url, request
    return found
