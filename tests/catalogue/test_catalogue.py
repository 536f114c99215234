"""The catalogue says what API.md's table says, and every word in it can be used."""

import re

import pytest
from jsonschema import Draft202012Validator

from notifier.catalogue import CatalogueType, load
from notifier.channels import CHANNELS
from notifier.core.wording import TEXTS
from notifier.words.language import check_source, undeclared

TYPES = {entry.key: entry for entry in load()}
EVERYWHERE = "inapp email push sms"
LANGUAGES = ("en", "de", "fr", "es")
TYPED = "email sms whatsapp voice webhook slack teams discord telegram apprise"
ORDER = "tracking_url carrier eta total currency items"

# key: category, priority, channels, required data, other data
TABLE = {
    "order_placed": ("transactional", "high", EVERYWHERE, "order_id", ORDER),
    "order_confirmed": ("transactional", "high", EVERYWHERE, "order_id", ORDER),
    "order_packed": ("transactional", "high", EVERYWHERE, "order_id", ORDER),
    "order_shipped": ("transactional", "high", EVERYWHERE, "order_id", f"{ORDER} order_url"),
    "out_for_delivery": ("transactional", "high", EVERYWHERE, "order_id", f"{ORDER} order_url"),
    "order_delivered": ("transactional", "high", EVERYWHERE, "order_id", ORDER),
    "order_delayed": ("transactional", "high", EVERYWHERE, "order_id", "reason new_eta refund currency"),
    "order_cancelled": ("transactional", "high", EVERYWHERE, "order_id", "reason new_eta refund currency"),
    "delivery_update": ("transactional", "high", "inapp push", "order_id status", "url"),
    "promotional_offer": ("marketing", "low", "inapp email push", "title", "offer code url image ends_at"),
    "newsletter": ("marketing", "low", "email", "title body", "url"),
    "like": ("social", "medium", "inapp push email", "actor", "text url"),
    "comment": ("social", "medium", "inapp push email", "actor", "text url reply_url"),
    "follow": ("social", "medium", "inapp push email", "actor", "text url"),
    "security_alert": ("system", "urgent", EVERYWHERE, "event", "ip device place url"),
    "one_time_code": ("transactional", "urgent", "sms email", "code", "minutes"),
    "password_reset": ("transactional", "urgent", "email", "url", "minutes"),
    "account_activity": ("system", "medium", "inapp email", "event", "url"),
    "fraud_alert": ("system", "urgent", "inapp email webhook", "order_id reason", "url"),
    "account_invitation": ("system", "urgent", "email", "url role days invited_by", ""),
    "sign_in_link": ("system", "urgent", "email", "url minutes", ""),
    "preference_link": ("system", "high", "email", "url", ""),
    "account_security": ("system", "high", "inapp email", "event url", "name by"),
    "social_digest": ("social", "medium", "inapp email push", "lines count", "more"),
    "marketing_digest": ("marketing", "low", "inapp email push", "lines count", "more"),
    "system_digest": ("system", "medium", "inapp email push", "lines count", "more"),
    "address_code": ("system", "urgent", TYPED, "code", "minutes"),
    "provider_test": ("system", "urgent", f"{TYPED} push webpush", "account", ""),
    "delivery_failure": ("system", "urgent", "inapp email webhook", "channel failed", "provider since url"),
    "limit_reached": ("system", "urgent", "inapp email webhook", "limit producer", "block since url"),
    "subscription_disabled": ("system", "high", "inapp email", "producer address reason", "since url"),
    "synthetic_alarm": ("system", "high", "inapp email", "channel failed", "provider url"),
    "monitoring_alert": ("system", "high", "inapp email webhook", "summary state", "description alert count since url"),
}


def test_it_holds_the_documented_types_and_no_others():
    assert set(TYPES) == set(TABLE)


@pytest.mark.parametrize("key", TABLE)
def test_a_type_is_as_documented(key: str):
    entry = TYPES[key]
    category, priority, channels, required, other = TABLE[key]
    assert (entry.category, entry.priority, set(entry.channels)) == (category, priority, set(channels.split()))
    assert set(entry.schema["required"]) == set(required.split())
    assert set(entry.schema["properties"]) == {*required.split(), *other.split()}


def test_only_these_are_mandatory_and_only_these_go_to_admins():
    mandatory = {
        "security_alert",
        "one_time_code",
        "password_reset",
        "address_code",
        "sign_in_link",
        "account_invitation",
        "account_security",
        "preference_link",
        "provider_test",
    }
    assert {key for key, entry in TYPES.items() if entry.is_mandatory} == mandatory
    to_admins = {
        "fraud_alert",
        "delivery_failure",
        "limit_reached",
        "monitoring_alert",
        "subscription_disabled",
        "synthetic_alarm",
    }
    assert {key for key, entry in TYPES.items() if entry.to_admins} == to_admins


def test_nothing_is_tracked_unless_somebody_asks_for_it():
    assert [entry.key for entry in TYPES.values() if entry.tracks_opens or entry.tracks_clicks] == []


def test_what_is_neither_mandatory_nor_the_products_own_is_left_out_when_repeated_within_an_hour():
    may_repeat = {key for key, entry in TYPES.items() if entry.is_mandatory or entry.is_internal}
    assert may_repeat == {
        *("security_alert", "one_time_code", "password_reset", "address_code", "sign_in_link", "account_invitation"),
        *("account_security", "preference_link"),
        *("provider_test", "marketing_digest", "social_digest", "system_digest"),
    }
    others = {key: entry.dedupe_window_s for key, entry in TYPES.items() if key not in may_repeat}
    alarms = dict.fromkeys(
        ("delivery_failure", "limit_reached", "monitoring_alert", "subscription_disabled", "synthetic_alarm"), 0
    )
    assert others == dict.fromkeys(others, 3_600) | alarms
    assert {TYPES[key].dedupe_window_s for key in may_repeat} == {None}


@pytest.mark.parametrize("entry", TYPES.values(), ids=TYPES)
def test_a_type_is_worded_for_every_channel_in_all_languages(entry: CatalogueType):
    assert {(content.channel, content.locale) for content in entry.contents} == {
        (channel, locale) for channel in ("*", "inapp", "email", "sms", "push") for locale in LANGUAGES
    }
    assert set(entry.titles) == set(entry.descriptions) == set(LANGUAGES)
    assert all(
        content.html and content.subject
        for content in entry.contents
        if content.channel != "*" and CHANNELS[content.channel].shape.has_html
    )


@pytest.mark.parametrize("entry", TYPES.values(), ids=TYPES)
def test_all_languages_say_the_same_of_the_data(entry: CatalogueType):
    used: dict[str, dict[str, set[str]]] = {}
    for content in entry.contents:
        names = set().union(*(undeclared(text or "") for text in content.texts().values()))
        used.setdefault(content.channel, {})[content.locale] = names
    differing = {channel: found for channel, found in used.items() if len(set(map(frozenset, found.values()))) > 1}
    assert differing == {}


@pytest.mark.parametrize("entry", TYPES.values(), ids=TYPES)
def test_all_languages_fill_the_same_fields_and_lead_to_the_same_places(entry: CatalogueType):
    filled: dict[str, set[tuple[str, str]]] = {}
    for content in entry.contents:
        texts = {name: text for name, text in content.texts().items() if text}
        same = {(name, text if name.endswith("_url") or name == "image" else "") for name, text in texts.items()}
        assert filled.setdefault(content.channel, same) == same, (content.channel, content.locale)


@pytest.mark.parametrize("entry", TYPES.values(), ids=TYPES)
def test_every_source_compiles(entry: CatalogueType):
    sources = [(content, name) for content in entry.contents for name in TEXTS]
    faults = {
        (content.channel, content.locale, name): check_source(getattr(content, name) or "", is_html=name == "html")
        for content, name in sources
    }
    assert {place: str(fault) for place, fault in faults.items() if fault} == {}


@pytest.mark.parametrize(
    ("locale", "familiar"),
    [
        ("de", r"du|dich|dir|deine?[mnrs]?|klicke?|sieh"),
        ("fr", r"tu|te|toi|ton|ta|tes|t’\w+|clique"),
        ("es", r"tú|tu|tus|te|ti|contigo|haz|vuestr[oa]s?"),
    ],
)
def test_people_are_spoken_to_formally(locale: str, familiar: str):
    words = "\n".join(
        str(getattr(content, name))
        for entry in TYPES.values()
        for content in entry.contents
        if content.locale == locale
        for name in ("title", "body", "subject", "html", "action_label")
    )
    assert not re.search(rf"\b({familiar})\b", words, re.IGNORECASE)


@pytest.mark.parametrize("entry", TYPES.values(), ids=TYPES)
def test_the_schema_is_one_and_takes_the_sample(entry: CatalogueType):
    Draft202012Validator.check_schema(entry.schema)
    assert entry.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert list(Draft202012Validator(entry.schema).iter_errors(entry.sample)) == []


@pytest.mark.parametrize("entry", TYPES.values(), ids=TYPES)
def test_further_keys_are_allowed_and_a_missing_one_is_not(entry: CatalogueType):
    validator = Draft202012Validator(entry.schema)
    assert validator.is_valid({**entry.sample, "warehouse": {"shelf": [1, None]}})
    for name in entry.schema["required"]:
        assert not validator.is_valid({key: value for key, value in entry.sample.items() if key != name}), name


GOOD = [
    ("order_shipped", {"order_id": "A"}),
    ("order_shipped", {"order_id": "ORD123", "tracking_url": "https://track.com/ORD123"}),
    (
        "order_placed",
        {"order_id": "A", "total": "49.90", "currency": "eur", "items": ["Mug", {"name": "Blanket"}, {"sku": 7}]},
    ),
    ("order_placed", {"order_id": "A", "total": 0, "items": []}),
    ("order_delayed", {"order_id": "A", "new_eta": "tomorrow by noon"}),
    ("order_cancelled", {"order_id": "A", "refund": 12.5}),
    ("one_time_code", {"code": "123456", "minutes": 1}),
    ("delivery_failure", {"channel": "sms", "failed": 0}),
    ("promotional_offer", {"title": "Sale", "image": "http://cdn.test/a.png"}),
]


@pytest.mark.parametrize(("key", "data"), GOOD)
def test_good_data_is_taken(key: str, data: dict):
    assert list(Draft202012Validator(TYPES[key].schema).iter_errors(data)) == []


BAD = [
    ("order_shipped", {"order_id": 123}),
    ("order_shipped", {"order_id": ""}),
    ("order_shipped", {"order_id": "A" * 129}),
    ("order_shipped", {"order_id": None}),
    ("order_shipped", {"order_id": "A", "tracking_url": "javascript:alert(1)"}),
    ("order_shipped", {"order_id": "A", "tracking_url": " https://x.test"}),
    ("order_shipped", {"order_id": "A", "tracking_url": "https://x.test/a b"}),
    ("order_shipped", {"order_id": "A", "tracking_url": "/orders/A"}),
    ("order_shipped", {"order_id": "A", "tracking_url": "https://" + "x" * 2048}),
    ("order_shipped", {"order_id": "A", "eta": 20261203}),
    ("order_shipped", {"order_id": "A", "carrier": ["DHL"]}),
    ("order_placed", {"order_id": "A", "total": True}),
    ("order_placed", {"order_id": "A", "total": [1]}),
    ("order_placed", {"order_id": "A", "currency": "euro"}),
    ("order_placed", {"order_id": "A", "items": "Mug"}),
    ("order_placed", {"order_id": "A", "items": {"name": "Mug"}}),
    ("order_delayed", {"order_id": "A", "new_eta": None}),
    ("order_cancelled", {"order_id": "A", "refund": {"amount": 1}}),
    ("delivery_update", {"order_id": "A", "status": 3}),
    ("delivery_update", {"order_id": "A", "status": "x", "url": "data:text/html,x"}),
    ("promotional_offer", {"title": ["Sale"]}),
    ("promotional_offer", {"title": "Sale", "image": "file:///etc/passwd"}),
    ("promotional_offer", {"title": "Sale", "ends_at": 1}),
    ("newsletter", {"title": "News", "body": ""}),
    ("like", {"actor": {"name": "Mira"}}),
    ("comment", {"actor": "Mira", "text": 5}),
    ("follow", {"actor": "Mira", "url": "ftp://x.test"}),
    ("security_alert", {"event": "x", "ip": 3232235777}),
    ("one_time_code", {"code": 123456}),
    ("one_time_code", {"code": "1", "minutes": "10"}),
    ("one_time_code", {"code": "1", "minutes": 0}),
    ("password_reset", {"url": "JAVASCRIPT:alert(1)"}),
    ("sign_in_link", {"url": "JAVASCRIPT:alert(1)", "minutes": 15}),
    ("account_activity", {"event": 1}),
    (
        "account_invitation",
        {"url": "JAVASCRIPT:alert(1)", "role": "viewer", "days": 7, "invited_by": "mira@shop.example"},
    ),
    ("fraud_alert", {"order_id": "A", "reason": ["x"]}),
    ("delivery_failure", {"channel": "sms", "failed": "42"}),
    ("delivery_failure", {"channel": "sms", "failed": -1}),
]


@pytest.mark.parametrize(("key", "data"), BAD)
def test_bad_data_is_refused(key: str, data: dict):
    assert not Draft202012Validator(TYPES[key].schema).is_valid(data)


def test_loading_again_gives_a_list_of_its_own():
    load().clear()
    assert len(load()) == len(TABLE)
