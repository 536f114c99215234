"""Mobile push by Firebase Cloud Messaging, HTTP v1: Android's own, and iOS by way of Apple.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send, and .../cloud-messaging/error-codes. FCM
says nothing of a message after it has taken it.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from notifier.channels.contract import Setting
from notifier.channels.table import PUSH
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.expiring import Expiring
from notifier.channels.wire.google import access_token, read_service_account
from notifier.channels.wire.http import Http, bearer
from notifier.channels.wire.push import PushAdapter, about, apns_headers, aps, ttl_s
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited
from notifier.core.message import ANDROID, IOS, Message, Receipt, Recipient
from notifier.ground.clock import now

_SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_TOKEN_REFUSED = "UNAUTHENTICATED"
_LEAST_WAIT_S = 60.0  # after QUOTA_EXCEEDED, as the documents ask

# FcmError.errorCode where there is one, else the `status` of the error. UNAVAILABLE is judged by its status, 503.
_OURS_PERHAPS = partial(Misconfigured, is_certain=False)
_CODES: dict[str | int, Family] = {
    "UNREGISTERED": InvalidRecipient,
    "SENDER_ID_MISMATCH": InvalidRecipient,  # a token of another project; if all are, ours is the wrong one
    "INVALID_ARGUMENT": Permanent,
    "QUOTA_EXCEEDED": RateLimited,
    "RESOURCE_EXHAUSTED": RateLimited,
    "INTERNAL": AMBIGUOUS,
    "THIRD_PARTY_AUTH_ERROR": _OURS_PERHAPS,  # Firebase has no key for APNs, which concerns iOS alone
    _TOKEN_REFUSED: _OURS_PERHAPS,  # the next try has a new one
    "PERMISSION_DENIED": Misconfigured,
}
_STATUSES: dict[int, Family] = {**STATUSES, 404: Misconfigured}  # of the project
# A bad token and a bad message have the same code, and often no other detail
_BAD_TOKEN = "The registration token is not a valid FCM registration token"

# What FCM and Apple's devices keep for themselves among an app's data.
_RESERVED = ("from", "message_type", "aps")
_RESERVED_PREFIXES = ("google", "gcm")


class Fcm(PushAdapter):
    channel = PUSH
    provider = "fcm"
    label = "Firebase Cloud Messaging"
    settings = (
        Setting(
            "FCM_SERVICE_ACCOUNT",
            "the JSON file of a service account that may send messages in the project",
            is_secret=True,
            example='{"type":"service_account","project_id":"shop","client_email":"…","private_key":"…",…}',
        ),
        Setting(
            "FCM_URL",
            "where messages are sent",
            is_required=False,
            default="https://fcm.googleapis.com",
            example="https://fcm.googleapis.com",
        ),
        Setting(
            "FCM_TOKEN_URL",
            "where access tokens are fetched; if unset, what the file says",
            is_required=False,
            example="https://oauth2.googleapis.com/token",
        ),
    )
    per_second = 10_000  # 600,000 a minute and project
    is_safe_to_repeat = True  # `tag` and apns-collapse-id: the device puts a repeat in the place of the first

    def __init__(self, settings: Mapping[str, str], http: Http) -> None:
        super().__init__(settings, http)
        text, token_url = self.options.get("FCM_SERVICE_ACCOUNT"), self.options.get("FCM_TOKEN_URL")
        try:
            account = read_service_account(text) if text else None
        except ValueError as error:
            raise ValueError(f"FCM_SERVICE_ACCOUNT: {error}") from None
        self._account = replace(account, token_url=token_url) if account and token_url else account
        self._token = Expiring(self._fetch_token)

    def send(self, message: Message, to: Recipient) -> Receipt:
        token = self._token.get()
        assert self._account is not None
        payload = _payload(self.shortened(message, to), to)
        url = f"{self.options['FCM_URL'].rstrip('/')}/v1/projects/{quote(self._account.project, safe='')}/messages:send"
        body = {"message": {"token": to.address, **payload}}
        try:
            response = self.http.post_json(url, body, bearer(token), explain=self.explain)
        except Misconfigured as error:
            if error.code == _TOKEN_REFUSED:
                self._token.forget(token)
            raise
        return Receipt("sent", provider_message_id=response.json()["name"])

    def explain(self, response: Response) -> DeliveryError | None:
        if response.is_success:
            return None if isinstance(response.json().get("name"), str) else not_understood(response)
        error = response.json().get("error")
        error = error if isinstance(error, dict) else {}
        of_fcm = _detail(error, "google.firebase.fcm.v1.FcmError")
        code = of_fcm.get("errorCode") or error.get("status")
        if code == "INVALID_ARGUMENT" and of_fcm and _blames_the_token(error):
            return InvalidRecipient("the provider calls the token invalid", code=code)
        wait_s = None if "retry-after" in response.headers else _LEAST_WAIT_S
        return explain_code(code if isinstance(code, str) else None, response, _CODES, _STATUSES, retry_after=wait_s)

    def counted(self, message: Message, to: Recipient) -> bytes:
        return json.dumps(_payload(message, to), ensure_ascii=False).encode(errors="replace")

    def try_out(self) -> str | None:
        self._token.get()
        return "the service account"

    def _fetch_token(self) -> tuple[str, float]:
        if self._account is None:
            raise Misconfigured("FCM_SERVICE_ACCOUNT is not set", code="not_configured")
        return access_token(self.http, self._account, _SCOPE)


def _payload(message: Message, to: Recipient) -> dict[str, Any]:
    """The message but for the token: what counts towards the limit. A phone of an unknown platform gets both parts."""
    payload: dict[str, Any] = {"data": _data(message)}
    if not message.push.is_silent:
        shown = {"title": message.content.title, "body": message.content.body, "image": message.content.image}
        payload["notification"] = {name: text for name, text in shown.items() if text}
    if to.platform != IOS:
        payload["android"] = _android(message)
    if to.platform != ANDROID:
        payload["apns"] = {"headers": apns_headers(message), "payload": {"aps": aps(message)}}
    return payload


def _android(message: Message) -> dict[str, Any]:
    push = message.push
    is_pressing = message.priority in ("urgent", "high") and not push.is_silent
    config: dict[str, Any] = {"priority": "HIGH" if is_pressing else "NORMAL", "ttl": f"{ttl_s(message, now())}s"}
    if message.collapse_key:  # of those with keys, FCM keeps four for a device that is away
        config["collapseKey"] = message.collapse_key
    if not push.is_silent:
        config["notification"] = {"tag": message.collapse_key or message.delivery_id}
        if push.sound:
            config["notification"]["sound"] = push.sound
        if message.badge:  # 0 stands for "not said"
            config["notification"]["notificationCount"] = message.badge
    return config


def _data(message: Message) -> dict[str, str]:
    """Values are text, as FCM wants them: of others their JSON. Names that are reserved get a prefix."""
    told = {**message.data, "notification": about(message)}
    return {
        f"data_{name}" if name in _RESERVED or name.startswith(_RESERVED_PREFIXES) else name: value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        for name, value in told.items()
        if value is not None
    }


def _blames_the_token(error: Mapping[str, Any]) -> bool:
    violations = _detail(error, "google.rpc.BadRequest").get("fieldViolations")
    given = violations if isinstance(violations, list) else ()
    fields = {str(found.get("field")) for found in given if isinstance(found, dict)}
    return fields == {"message.token"} or (not fields and error.get("message") == _BAD_TOKEN)


def _detail(error: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The detail of one type; an empty one where there is none."""
    details = error.get("details")
    found = [one for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    return next((one for one in found if one.get("@type") == f"type.googleapis.com/{kind}"), {})
