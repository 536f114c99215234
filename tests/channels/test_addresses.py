"""What counts as an address of each channel, how it is normalised, and how little of it is shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels import CHANNELS
from notifier.channels.serving import BORROWERS, mask, normalise

KEYS = {
    "auth": "A" * 22,
    "p256dh": "BG_wO5SSQc4drdQ1GeaWDgqFtBppoFwygQOqK84VlMoWPE91OlW_AdxT9sCwx-7ni0DG_30lqW4igrmJzvccFEo",
}


def subscription(endpoint: object = "https://push.test/s3cret", **keys: object) -> str:
    return json.dumps({"endpoint": endpoint, "expirationTime": None, "keys": KEYS | keys})


SUBSCRIPTION = (
    '{"endpoint":"https://push.test/s3cret","keys":{"auth":"' + KEYS["auth"] + '","p256dh":"' + KEYS["p256dh"] + '"}}'
)


@pytest.mark.parametrize(
    ("channel", "value", "expected", "masked"),
    [
        ("email", "alice@x.test", "alice@x.test", "a…@x.test"),
        ("email", " Alice.B@EXAMPLE.Test ", "Alice.B@example.test", "A…@example.test"),
        ("email", "a@x.test", "a@x.test", "…@x.test"),
        ("email", "alice+tag@sandbox.test", "alice+tag@sandbox.test", "a…@sandbox.test"),
        ("email", "büro@münchen.test", "büro@münchen.test", "b…@münchen.test"),
        ("sms", "+4915112345678", "+4915112345678", "+49…78"),
        ("sms", "+49 (151) 123-456.78", "+4915112345678", "+49…78"),
        ("sms", "+15550100003", "+15550100003", "+15…03"),
        ("sms", "+31 (0)6 12345678", "+31612345678", "+31…78"),
        ("whatsapp", "+15550100009", "+15550100009", "+15…09"),
        ("voice", "+442079460958", "+442079460958", "+44…58"),
        ("webhook", "https://shop.test", "https://shop.test/", "https://shop.test/…"),
        (
            "webhook",
            "HTTPS://Shop.TEST:8443/Hook?key=s3cret#part",
            "https://shop.test:8443/Hook?key=s3cret",
            "https://shop.test:8443/…",
        ),
        ("webhook", "http://127.0.0.1:9000/hook", "http://127.0.0.1:9000/hook", "http://127.0.0.1:9000/…"),
        ("webhook", "https://bücher.test/ä", "https://xn--bcher-kva.test/%C3%A4", "https://xn--bcher-kva.test/…"),
        ("webhook", "https://[2606:4700::1111]/", "https://[2606:4700::1111]/", "https://[2606:4700::1111]/…"),
        (
            "slack",
            "https://hooks.slack.test/services/T0/B0/s3cret",
            "https://hooks.slack.test/services/T0/B0/s3cret",
            "https://hooks.slack.test/…",
        ),
        ("push", " fGx0m3Rk7dE:APA91bHP ", "fGx0m3Rk7dE:APA91bHP", "…1bHP"),
        ("push", "12345678", "12345678", "…"),
        ("webpush", subscription(), SUBSCRIPTION, "https://push.test/…"),
        ("webpush", subscription(auth="A" * 22 + "=="), SUBSCRIPTION, "https://push.test/…"),
    ],
)
def test_an_address_is_normalised_and_masked(channel: str, value: str, expected: str, masked: str) -> None:
    normal = normalise(channel, value)
    assert (normal, mask(channel, normal), normalise(channel, normal)) == (expected, masked, expected)


@pytest.mark.parametrize(
    ("channel", "value"),
    [
        *(("email", value) for value in ("", "alice", "@x.test", "alice@", "a b@x.test", "alice@x..test",
            "alice@x.test\nBcc: b@x.test", "A <a@x.test>")),
        ("email", "=?utf-8?q?a=2C?=@x.test"),
        *(("email", value) for value in ("alice@[127.0.0.1]", '"a b"@x.test', "a@localhost", "a@b@x.test",
            "a@" + "x." * 130 + "test")),
        *(("sms", value) for value in ("", "+", "015112345678", "004915112345678", "+49", "+491",
            "+4915112345678901234", "+1-800-FLOWERS")),
        ("sms", "tel:+15550100003"),
        ("sms", "+310000000"),
        *(("sms", value) for value in ("+49 151 12345678 ext. 5", "+999123456789", "+٤٩١٥١١٢٣٤٥٦٧٨", "alice@x.test",
            "+4915112345678;phone-context=+1")),
        *(("webhook", value) for value in ("", "shop.test/hook", "javascript:alert(1)",
            "JavaScript://x.test/%0aalert(1)", "data:text/html,x", "file:///etc/passwd")),
        *(("webhook", value) for value in ("ftp://shop.test/", "//shop.test/", "https://", "https:///hook",
            "https:shop.test", "https://./", "https://:443/")),
        *(("webhook", value) for value in ("https://user@shop.test/", "https://user:pass@shop.test/",
            "https://@shop.test/", "https://shop.test\\@evil.test/")),
        *(("webhook", value) for value in ("https://shop.test:0/", "https://shop.test:99999/", "https://shop.test:x/",
            "https://[::1/", "https://shop test/")),
        *(("webhook", value) for value in ("https://shop.test/a b", "https://shop.test/\nx", "https://shop.test/\x00x", "https://shop.test/\u200b")),
        ("webhook", "https://x.test/" + "a" * 2048),
        *(("push", value) for value in ("", "short", "with space in it", "ünïcödé-tökén", "x" * 4097,
            "line\nbreak-token")),
        *(("webpush", value) for value in ("", "{}", "[]", "null", "1", "[" * 100_000,
            '{"endpoint":"https://push.test/x"}', subscription(endpoint=5))),
        *(("webpush", value) for value in (subscription("http://push.test/x"), subscription("javascript:x"),
            subscription(auth="A"))),
        *(("webpush", subscription(p256dh=key)) for key in ("!!", "BA" + "A" * 85)),
        *(("webpush", value) for value in (subscription(auth=None), subscription(p256dh="CA" + "A" * 85),
            subscription(auth="ä" * 22))),
        *(("telegram", value) for value in ("", "x", "@ab", "12 34", "١٢٣٤٥", "１２３４５", "@nämelessly")),
        ("inapp", "alice"),
        ("pigeon", "alice"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_with_a_sentence(channel: str, value: str) -> None:
    with pytest.raises(ValueError, match=r"[A-Z].*\."):
        normalise(channel, value)


@given(st.emails().filter(lambda value: len(value) < 255))
def test_the_mask_of_an_email_never_holds_its_local_part(value: str) -> None:
    try:
        normal = normalise("email", value)
    except ValueError:
        return
    shown = mask("email", normal).rpartition("@")[0]
    assert normal.rpartition("@")[0] not in shown
    assert normalise("email", normal) == normal


@given(st.from_regex(r"\A\+[1-9][0-9 ()./-]{5,18}\Z"))
def test_the_mask_of_a_phone_hides_most_of_it(value: str) -> None:
    try:
        normal = normalise("sms", value)
    except ValueError:
        return
    assert normalise("sms", normal) == normal
    assert sum(letter.isdigit() for letter in mask("sms", normal)) <= len(normal) / 2


@given(st.from_regex(r"\Ahttps?://[a-zA-Z0-9.:\[\]@_-]{1,20}(/[!-~äß]{0,20})?([?#][!-~]{0,20})?\Z"))
def test_a_normalised_url_stays_as_it_is_and_its_mask_hides_the_path(value: str) -> None:
    try:
        normal = normalise("webhook", value)
    except ValueError:
        return
    assert normalise("webhook", normal) == normal
    assert mask("webhook", normal).count("/") == 3


@pytest.mark.parametrize("name", [name for name, channel in CHANNELS.items() if channel.address])
def test_the_example_of_every_channel_is_an_address(name: str) -> None:
    kind = CHANNELS[name].address
    assert kind is not None
    assert normalise(name, kind.example) == kind.example
    assert kind.example not in mask(name, kind.example)


@pytest.mark.parametrize("name", [name for name, channel in CHANNELS.items() if channel.address])
def test_a_mask_fits_where_it_is_stored(name: str) -> None:
    long = {
        "email": "alice@" + ".".join(["x" * 60] * 4),
        "webhook": "https://" + ".".join(["x" * 60] * 4) + "/hook",
        "slack": "https://" + ".".join(["x" * 60] * 4) + "/hook",
        "webpush": subscription("https://" + ".".join(["x" * 60] * 4) + "/hook"),
        "push": "x" * 4096,
    }
    assert len(mask(name, long.get(name, "+" + "1" * 15))) <= 120


def test_phone_channels_borrow_the_addresses_of_sms() -> None:
    assert {lender: borrowers for lender, borrowers in BORROWERS.items() if borrowers} == {"sms": ("whatsapp", "voice")}
