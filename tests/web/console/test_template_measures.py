"""What the editor measures is what is sent: segments with their price, and what a phone's card has room for."""

import re
from collections.abc import Callable

import pytest
from apiflask import APIFlask

from notifier.catalogue import templates
from notifier.catalogue.samples import longest_of
from notifier.channels.table import PUSH, SMS, WEB_PUSH
from notifier.core.message import Content
from notifier.core.segments import Price, Segments
from notifier.core.wording import Words
from notifier.web.console.template_measures import Card, Sms, cards, counted
from tests.web.conftest import Visitor

KEY = "measured_words"
PREVIEW = f"/admin/templates/{KEY}/1/preview"


QUOTE, ZHE = "“ (left double quotation mark)", "ж (cyrillic small letter zhe)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 161, Sms("T", Segments(2, 161, "GSM-7"), (), "0.150 EUR", 0)),
        ("“" + "a" * 100, Sms("T", Segments(2, 101, "UCS-2"), (QUOTE,), "0.150 EUR", 1)),
        ("ж“", Sms("T", Segments(1, 2, "UCS-2"), (ZHE, QUOTE), "0.075 EUR", 0)),
    ],
)
def test_an_sms_is_counted_priced_and_told_what_costs(text: str, expected: Sms) -> None:
    assert counted("T", Content("t", text), SMS.shape, Price.parse("0.075 EUR")) == expected


def test_a_card_shows_what_its_platform_has_room_for() -> None:
    content = Content("t" * 60, "b" * 200)
    assert cards(content, PUSH.shape) == [
        Card("iOS", ("t" * 50, "t" * 10), ("b" * 178, "b" * 22)),
        Card("Android", ("t" * 60, ""), ("b" * 200, "")),
    ]
    assert [card.platform for card in cards(content, WEB_PUSH.shape)] == ["Web"]


def test_the_longest_data_are_those_that_the_schema_allows() -> None:
    rules = {
        "name": {"maxLength": 12},
        "text": {"maxLength": 2_000},
        "url": {"pattern": "^https"},
        "size": {"enum": ["S", "medium"]},
        "count": {"maximum": 50},
    }
    sample = {
        "name": "Bo",
        "text": "Hi",
        "url": "https://x.test",
        "size": "S",
        "count": 2,
        "on": True,
        "when": "2026-12-01",
    }
    assert longest_of({**sample, "total": 9.5, "items": []}, {"properties": rules}) == {
        **sample,
        "name": "Bo Bo Bo Bo",
        "text": ("Hi " * 34)[:100].strip(),
        "size": "medium",
        "count": 50,
        "total": 999_999,
        "items": [],
    }


def shown(admin: Visitor, **form: str) -> str:
    given = {"locale": "en", "title": "t", "sample": '{"name": "Bo"}', **form}
    return re.sub(r"\s+", " ", admin.post(PREVIEW, given, headers={"X-Partial": "preview"}).text)


def test_the_editor_counts_what_is_typed_with_the_sample_and_at_its_longest(
    app: APIFlask, signed_in: Callable[..., Visitor]
) -> None:
    admin = signed_in("admin")
    templates.create(KEY, {("sms", "en"): Words("t")})
    page = shown(admin, channel="sms", body="{{ name }} {{ name }}: “" + "a" * 70)
    rows = re.findall(r'<th scope="row">([^<]*)</th> <td[^>]*>(\d+)</td> <td[^>]*>(\d+)</td> <td>([^<]*)</td>', page)
    assert rows == [("With the sample data", "2", "78", "UCS-2"), ("With the longest data", "5", "274", "UCS-2")]
    assert "left double quotation mark" in page
    assert "With plain signs it has 1 segment fewer." in page
    plain = shown(admin, channel="sms", plain_signs="on", body="{{ name }} {{ name }}: “" + "a" * 70)
    assert ("GSM-7" in plain, "UCS-2" in plain) == (True, False)


def test_the_editor_shows_what_each_platform_cuts_off(app: APIFlask, signed_in: Callable[..., Visitor]) -> None:
    admin = signed_in("admin")
    templates.create(KEY, {("push", "en"): Words("t")})
    page = shown(admin, channel="push", body="b" * 178 + "c" * 10)
    assert f'{"b" * 178}<del title="Not shown">{"c" * 10}</del>' in page
    assert ("iOS" in page, "Android" in page, "10 characters are not shown" in page) == (True, True, True)
