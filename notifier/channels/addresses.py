"""The kinds of address: how each is checked and normalised, and how it is masked for screens and logs.

Called wherever an address is accepted or shown. Looks nothing up: whether a target may be reached is checked when it is
connected to, by `wire.targets`.
"""

import json
import re
from base64 import b64decode, urlsafe_b64encode
from typing import Any

import phonenumbers
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from email_validator import EmailNotValidError, validate_email
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from notifier.channels.contract import AddressKind
from notifier.core import worlds
from notifier.ground.encryption import vault
from notifier.ground.languages import N_

_LONGEST_URL = 2048
# Of browsers: Chrome and Edge, Firefox, Safari, Edge on Windows
_PUSH_SERVICES = (*("fcm.googleapis.com", "*.push.services.mozilla.com", "*.push.apple.com", "*.notify.windows.com"),)
_LONGEST_MASK = 100


def _shorten(mask: str) -> str:
    return mask if len(mask) <= _LONGEST_MASK else f"{mask[: _LONGEST_MASK // 2]}…{mask[-_LONGEST_MASK // 2 + 1 :]}"


def _parse_email(value: str) -> str:
    try:
        checked = validate_email(value.strip(), check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None
    if "=?" in checked.normalized:  # RFC 2047 allows it, but programs decode it, and then it is another address, or two
        raise ValueError("An e-mail address must not contain =?, which begins encoded text.")
    return checked.normalized


def _mask_email(value: str) -> str:
    local, _, domain = value.rpartition("@")
    return _shorten(f"{local[:1] if len(local) > 1 else ''}…@{domain}")


def _parse_phone(value: str) -> str:
    text = value.strip()
    # Without this, phonenumbers also takes letters (+1-800-FLOWERS), extensions and tel: links.
    if not re.fullmatch(r"\+[0-9 ()./-]+", text):
        raise ValueError(N_("A phone number must start with + and its country code, followed by digits only."))
    try:
        number = phonenumbers.parse(text)
        normal = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
        # It drops a leading 0 (+31 (0)6…), and of +31000… another each time
        is_stable = phonenumbers.parse(normal) == number
    except phonenumbers.NumberParseException:
        is_stable = False
    if not is_stable:
        raise ValueError(N_("This is not a phone number."))
    # Possible, not valid: numbering plans change faster than a pinned library, and +1555… is reserved for tests.
    if not phonenumbers.is_possible_number(number):
        raise ValueError(N_("Phone numbers in that country do not have this length."))
    return normal


def _mask_phone(value: str) -> str:
    return f"{value[:3]}…{value[-2:] if len(value) > 8 else ''}"


def _parse_url(value: str) -> str:
    return _url(value).url


def _url(value: str) -> Url:
    text = value.strip()
    if len(text) > _LONGEST_URL:
        raise ValueError(f"A URL can have at most {_LONGEST_URL} characters.")
    if not re.match(r"https?://", text, re.IGNORECASE):
        raise ValueError(N_("A URL must start with https:// (or http://, inside a network the operator allows)."))
    if re.search(r"[\s\x00-\x20\x7f\\]", text) or not text.isprintable():
        raise ValueError(N_("A URL must not contain spaces, backslashes or control characters."))
    try:
        # urllib3's own parser, since it is urllib3 that connects: two parsers can disagree about what the host is.
        url = parse_url(text)
    except LocationParseError:
        raise ValueError(N_("This URL cannot be understood.")) from None
    if not url.host or not url.host.strip("."):
        raise ValueError(N_("A URL needs a host."))
    if "@" in re.split(r"[/?#]", text, maxsplit=3)[2]:
        raise ValueError("A URL must not contain a user name or password.")
    if url.port == 0:
        raise ValueError("A URL's port must be 1 to 65535.")
    return url._replace(path=url.path or "/", fragment=None)


def _mask_url(value: str) -> str:
    try:
        url = parse_url(value)
    except LocationParseError:
        return "…"
    return _shorten(f"{url.scheme}://{url.netloc}/…")


def _parse_token(value: str) -> str:
    text = value.strip()
    if not re.fullmatch(r"[!-~]{8,4096}", text):
        raise ValueError("A device token must have 8 to 4,096 printable characters and no spaces.")
    return text


def _mask_token(value: str) -> str:
    return f"…{value[-4:]}" if len(value) >= 16 else "…"


def _parse_subscription(value: str) -> str:
    """The JSON of a browser's PushSubscription, reduced to what sending needs."""
    try:
        given: Any = json.loads(value)
        endpoint, keys = given["endpoint"], given["keys"]
        p256dh, auth = _key(keys["p256dh"]), _key(keys["auth"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ValueError(
            "A web-push subscription must be the JSON of the browser's PushSubscription: endpoint, "
            "keys.p256dh and keys.auth."
        ) from None
    if len(p256dh) != 65 or len(auth) != 16 or not _is_point(p256dh):
        raise ValueError("The keys of the web-push subscription are not valid.")
    url = _url(endpoint) if isinstance(endpoint, str) else None
    if url is None or url.scheme != "https":
        raise ValueError("The endpoint of a web-push subscription must be an https:// URL.")
    keys = {"auth": _text(auth), "p256dh": _text(p256dh)}
    return json.dumps({"endpoint": url.url, "keys": keys}, separators=(",", ":"))


def _is_point(key: bytes) -> bool:
    """Whether something can be encrypted for it: most values of the right length lie beside the curve."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key)
    except ValueError:
        return False
    return True


def _key(text: Any) -> bytes:
    """Browsers write base64url without padding; some libraries write base64 with."""
    if not isinstance(text, str):
        raise TypeError
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    return b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _text(key: bytes) -> str:
    return urlsafe_b64encode(key).rstrip(b"=").decode()


def _mask_subscription(value: str) -> str:
    try:
        return _mask_url(endpoint_of(value))
    except (ValueError, KeyError, TypeError):
        return "…"


def endpoint_of(value: str) -> str:
    endpoint: str = json.loads(value)["endpoint"]
    return endpoint


def _itself(value: str) -> str:
    return value


_SLACK_ID = re.compile(r"[CDGUW][0-9A-Z]{6,20}")


def _parse_slack(value: str) -> str:
    """A webhook's URL, or the id of a person, a channel or a conversation."""
    text = value.strip()
    if _SLACK_ID.fullmatch(text):
        return text
    if "/" not in text:
        raise ValueError("This must be the URL of a Slack webhook, or the id of a person or channel (U012AB3CD).")
    return _parse_url(text)


def _mask_slack(value: str) -> str:
    return value if _SLACK_ID.fullmatch(value) else _mask_url(value)


def _slack_url(value: str) -> str | None:
    return None if _SLACK_ID.fullmatch(value) else value


EMAIL = AddressKind(N_("E-mail address"), "alice@example.com", _parse_email, _mask_email)
PHONE = AddressKind(N_("Phone number"), "+4915112345678", _parse_phone, _mask_phone)
URL = AddressKind("URL", "https://hooks.example.com/notifier", _parse_url, _mask_url, url=_itself)
SLACK_TARGET = AddressKind(
    N_("Slack webhook, or id of a person or channel"),
    "https://hooks.slack.com/services/T0/B0/abc",
    _parse_slack,
    _mask_slack,
    url=_slack_url,
)
SIGNED_URL = AddressKind(
    N_("Webhook URL"), "https://example.com/webhooks/notifier", _parse_url, _mask_url, has_secret=True, url=_itself
)
DEVICE_TOKEN = AddressKind(
    "Device token", "fGx0m3Rk7dE:APA91bHPRgkF3", _parse_token, _mask_token, is_typed=False, has_platform=True
)
SUBSCRIPTION = AddressKind(
    "Web-push subscription",
    '{"endpoint":"https://push.example.com/abc","keys":{"auth":"'
    + "A" * 22
    + '","p256dh":"BG_wO5SSQc4drdQ1GeaWDgqFtBppoFwygQOqK84VlMoWPE91OlW_AdxT9sCwx-7ni0DG_30lqW4igrmJzvccFEo"}}',
    _parse_subscription,
    _mask_subscription,
    url=endpoint_of,
    is_typed=False,
    services=_PUSH_SERVICES,
)


PRIMARY = {"email": "email", "phone": "sms"}  # field of the profile → the channel it is the primary address of
FIELD_OF = {channel: field for field, channel in PRIMARY.items()}


def digest_of(channel: str, value: str, *, is_test: bool = False) -> bytes:
    """The keyed digest of an address. Those of the test world never meet live ones: a test's bounce or unsubscribing
    holds nobody back.
    """
    return vault.digest(f"{worlds.MARK if is_test else ''}{channel}\0{value}")
