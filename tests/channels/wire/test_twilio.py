"""The signature of Twilio's calls, made and judged by Twilio's own library."""

import hashlib
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from twilio.request_validator import RequestValidator

from notifier.channels.receipts import HookRefused, HookRequest, Unreadable
from notifier.channels.wire.twilio import check_signature
from tests.channels.twilio import AT, TOKEN, called

FORM = {"MessageSid": "SM1", "Body": "grüße & 1+1=2 €", "Empty": "", "From": "+4915112345678", "ä": "😀"}


@pytest.mark.parametrize(
    "url",
    [
        "https://notify.test/hooks/twilio?delivery=dlv_1",
        "https://notify.test/hooks/twilio?b=2&a=1&c=%E2%82%AC%20+x&d",
        "https://notify.test:8443/hooks/twilio",
        "http://127.0.0.1:5000/hooks/twilio?delivery=dlv_1",
        "https://notify.test/hooks/twilio?",
    ],
)
def test_what_twilio_signs_is_twilios(url: str) -> None:
    check_signature(called(FORM, url=url), TOKEN)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("https://notify.test/h?a=1", "https://notify.test:443/h?a=1"),
        ("https://notify.test:443/h?a=1", "https://notify.test/h?a=1"),
        ("http://notify.test/h", "http://notify.test:80/h"),
        ("http://127.0.0.1:5000/h", "http://127.0.0.1/h"),
    ],
)
def test_the_port_may_be_signed_or_not(ours: str, theirs: str) -> None:
    request = replace(called(FORM, url=theirs), url=ours)
    assert RequestValidator(TOKEN).validate(ours, FORM, request.headers["x-twilio-signature"])
    check_signature(request, TOKEN)


def test_a_field_that_comes_twice_counts_once_for_each_value() -> None:
    class Fields(dict[str, str]):
        def getlist(self, name: str) -> list[str]:
            return ["b", "a", "b"] if name == "Tag" else [self[name]]

    fields = Fields(FORM, Tag="")
    url = "https://notify.test/h"
    headers = {"x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, fields)}
    body = urlencode([("Tag", "b"), ("Tag", "a"), ("Tag", "b"), *FORM.items()]).encode()
    check_signature(HookRequest("POST", url, headers, body, AT), TOKEN)


def test_what_was_changed_on_the_way_is_refused() -> None:
    right = called(FORM)
    signature = right.headers["x-twilio-signature"]
    for wrong in (
        replace(right, body=right.body.replace(b"SM1", b"SM2")),
        replace(right, body=right.body + b"&More=1"),
        replace(right, url=right.url.replace("dlv_", "dlv-")),
        replace(right, url=right.url.replace("https", "http")),
        replace(right, url=right.url.replace("notify.test", "notify.example")),
        replace(right, headers={}),
        replace(right, headers={**right.headers, "x-twilio-signature": ""}),
        replace(right, headers={**right.headers, "x-twilio-signature": signature[:-2] + "é="}),
        called(FORM, token="another"),
    ):
        with pytest.raises(HookRefused):
            check_signature(wrong, TOKEN)


@pytest.mark.parametrize("body", [b"\xff\xfe=1", b"a=1&" * 201])
def test_a_body_that_is_no_form_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        check_signature(replace(called({}), body=body), TOKEN)


def as_json(body: bytes, *, query: str | None = None) -> HookRequest:
    url = "https://notify.test/h?" + (f"bodySHA256={hashlib.sha256(body).hexdigest()}" if query is None else query)
    headers = {
        "content-type": "application/json; charset=utf-8",
        "x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, {}),
    }
    return HookRequest("POST", url, headers, body, AT)


def test_json_is_signed_by_its_hash() -> None:
    request = as_json(b'{"a":"\xc3\xa4"}')
    assert RequestValidator(TOKEN).validate(request.url, request.body.decode(), request.headers["x-twilio-signature"])
    check_signature(request, TOKEN)


def test_json_with_another_hash_or_with_none_is_refused() -> None:
    """Without a hash the signature says nothing about the body."""
    for wrong in (
        as_json(b"{}", query=""),
        as_json(b"{}", query="bodySHA256="),
        replace(as_json(b"{}"), body=b"[]"),
        replace(as_json(b"{}"), headers={"content-type": "application/json", "x-twilio-signature": "c2lnbmF0dXJl"}),
    ):
        with pytest.raises(HookRefused):
            check_signature(wrong, TOKEN)
