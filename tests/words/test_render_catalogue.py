"""Every type of the catalogue on every channel in all languages, with the least data and with all of it."""

import itertools
import re
from typing import Any

import html5lib
import pytest

from notifier.catalogue import CatalogueType, load
from notifier.channels import CHANNELS
from notifier.core.message import Content
from notifier.words.render import render
from tests.words.rendering import UNSUBSCRIBE, WHY, request, source_of

TYPES = load()
LANGUAGES = ("en", "de", "fr", "es")
SOURCES = {entry.key: source_of(entry) for entry in TYPES}
GSM = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ "
    "!\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_DOUBLE = set("^{}\\[~]|€")

EVERYTHING: dict[str, Any] = {
    "order_id": "2026-000123", "tracking_url": "https://track.test/p/2026-000123", "carrier": "Deutsche Post DHL",
    "eta": "2026-12-03T15:30:00Z",
    "total": "1249.50", "currency": "EUR",
    "items": ["Mug", {"name": "Blanket", "quantity": 3, "price": "20"}, {"sku": "X-7"}, {"odd": 1}, 5, None],
    "reason": "Der Lieferant hat abgesagt", "new_eta": "2026-12-09", "refund": 1249.5, "status": "in_transit", "url": "https://shop.test/a?b=1&c=2",
    "title": "Offer & more", "offer": "20 % off\n\nOnly now", "code": "WINTER-20", "image": "https://cdn.test/a.png",
    "ends_at": "2026-12-24T22:59:00Z",
    "body": "First paragraph.\n\nSecond <b>paragraph</b>.", "actor": "Mira Okafor", "text": "“Nice” & <i>short</i>",
    "order_url": "https://shop.test/orders/2026-000123", "reply_url": "https://shop.test/posts/81#reply",
    "event": "password_changed", "ip": "2001:db8:0:1:2:3:4:7",
    "device": "Firefox on Windows", "place": "Lisbon, Portugal", "minutes": 1, "channel": "sms", "failed": 1,
    "provider": "twilio",
    "since": "2026-11-20T09:15:00Z",
    "lines": [{"title": "Mira & <b>Jo</b> like your post", "url": "https://shop.test/81"},
        {"title": "News", "url": None}],
    "count": 1, "more": 1, "role": "operator", "days": 1, "invited_by": "mira@shop.example", "account": "smtp-backup",
    "summary": "No worker runs", "state": "firing", "description": "Nothing is sent.", "alert": "NotifierNoWorkers",
    "name": "Firefox & Co", "by": "mira@shop.example",
    "limit": "new_phones", "block": "+491511234",
    "producer": "Shop & Co", "address": "https://shop.example.com/…",
}  # fmt: skip


def datasets(entry: CatalogueType) -> dict[str, dict[str, Any]]:
    properties = entry.schema["properties"]
    full = {name: EVERYTHING[name] for name in properties}
    return {
        "least": {name: full[name] for name in entry.schema["required"]},
        "sample": dict(entry.sample),
        "full": full,
    }


def rendered(entry: CatalogueType, channel: str, locale: str, data: dict[str, Any]) -> Content:
    is_plain = entry.category == "transactional"
    wanted = request(
        channel, SOURCES[entry.key], data, locale=locale, type=entry.key, titles=entry.titles, category=entry.category
    )
    result = render(
        [wanted if is_plain else request(**{**_fields(wanted), "why_url": WHY, "unsubscribe_url": UNSUBSCRIBE})]
    )[0]
    assert isinstance(result, Content), f"{entry.key} {channel} {locale}: {result}"
    return result


def _fields(wanted: Any) -> dict[str, Any]:
    return {name: getattr(wanted, name) for name in wanted.__slots__}


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry.key)
def test_nothing_undefined_leaks(entry: CatalogueType, locale: str):
    for channel, data in itertools.product(CHANNELS, datasets(entry).values()):
        result = rendered(entry, channel, locale, data)
        words = "\n".join(
            filter(None, [result.title, result.body, result.subject, result.action_label, result.action_url])
        )
        for leak in ("None", "{{", "{%", "Undefined", "undefined", "{'", "['", "{n}", "  ", " .", " ,", "::", "\u202e"):
            assert leak not in words, f"{leak!r} in {words}"
        assert result.title
        assert result.body
        assert not re.search(r"None|\{\{|\{%|ndefined", result.html or "")


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry.key)
def test_an_sms_fits_into_one_segment(entry: CatalogueType, locale: str):
    body = rendered(entry, "sms", locale, dict(entry.sample)).body
    assert set(body) <= GSM | GSM_DOUBLE, set(body) - GSM - GSM_DOUBLE
    assert len(body) + sum(char in GSM_DOUBLE for char in body) <= 160, body


@pytest.mark.parametrize("locale", LANGUAGES)
@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry.key)
def test_a_push_fits_onto_a_lock_screen(entry: CatalogueType, locale: str):
    for data in datasets(entry).values():
        result = rendered(entry, "push", locale, data)
        assert len(result.title) <= 55, result.title
        assert len(result.body) <= 160, result.body


@pytest.mark.parametrize("entry", TYPES, ids=lambda entry: entry.key)
def test_the_languages_differ(entry: CatalogueType):
    if entry.key == "newsletter":  # all of its words are the producer's
        return
    mails = {rendered(entry, "email", locale, dict(entry.sample)).body.partition("\n\n")[2] for locale in LANGUAGES}
    assert len(mails) == len(LANGUAGES)


def test_a_link_of_the_data_becomes_the_action():
    by_key = {entry.key: entry for entry in TYPES}
    assert (
        rendered(by_key["order_shipped"], "inapp", "en", {"order_id": "A", "tracking_url": "https://t.test"}).action_url
        == "https://t.test"
    )
    assert rendered(by_key["order_shipped"], "inapp", "en", {"order_id": "A"}).action_url is None
    assert (
        rendered(by_key["password_reset"], "email", "en", {"url": "https://t.test/r"}).action_label
        == "Choose a new password"
    )
    assert (
        rendered(by_key["promotional_offer"], "inapp", "en", {"title": "A", "image": "https://c.test/a.png"}).image
        == "https://c.test/a.png"
    )


@pytest.mark.slow
def test_every_mail_is_valid_html():
    for entry in load():
        template = source_of(entry)
        for locale in sorted({locale for _, locale in template.contents} | {"ar"}):
            changes = {"type": entry.key, "titles": entry.titles, "category": entry.category, "locale": locale}
            links = {"why_url": WHY, "unsubscribe_url": UNSUBSCRIBE}
            [mail] = render([request("email", template, entry.sample, **changes, **links)])
            assert isinstance(mail, Content)
            html5lib.HTMLParser(strict=True).parse(mail.html)  # raises at the first fault
