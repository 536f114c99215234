"""What an admin sees of a notification's data."""

import time
from typing import Any

import pytest

from notifier.core.masking import MASK, masked


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (
            {"order_id": "A123", "total": 9.5, "paid": True, "note": None},
            {"order_id": "A123", "total": 9.5, "paid": True, "note": None},
        ),
        ({"code": "123456"}, {"code": MASK}),
        ({"code": 123456}, {"code": MASK}),
        (
            {"resetToken": "x", "API_KEY": "x", "password": "x", "otp": "1", "pin": "1"},
            dict.fromkeys(("resetToken", "API_KEY", "password", "otp", "pin"), MASK),
        ),
        (
            {"country_code": "DE", "promo_code": "SUMMER", "postcode": "10115"},
            {"country_code": "DE", "promo_code": "SUMMER", "postcode": "10115"},
        ),
        ({"codes": ["1", "2"]}, {"codes": MASK}),
        ({"secret": {"a": 1}}, {"secret": MASK}),
        ({"url": "https://shop.test/orders/A123"}, {"url": "https://shop.test/orders/A123"}),
        ({"url": "https://shop.test/reset?token=abc"}, {"url": f"https://shop.test/reset?{MASK}"}),
        ({"url": "https://shop.test/reset#abc"}, {"url": f"https://shop.test/reset#{MASK}"}),
        ({"url": "https://ann:pw@shop.test/x"}, {"url": "https://shop.test/x"}),
        ({"url": "https://shop.test/reset/a8f3e1c09b7d46528e1f0a"}, {"url": f"https://shop.test/reset/{MASK}"}),
        ({"text": "Write to ann.smith@shop.test now"}, {"text": f"Write to a{MASK}@shop.test now"}),
        ({"text": "Call +49 151 12345678."}, {"text": f"Call {MASK}78."}),
        ({"items": [{"name": "Tea", "token": "x"}]}, {"items": [{"name": "Tea", "token": MASK}]}),
    ],
    ids=str,
)
def test_what_would_let_somebody_act_as_the_recipient_is_masked(data: dict[str, Any], shown: dict[str, Any]) -> None:
    assert masked(data) == shown


def test_what_is_nested_too_deep_ends_in_dots() -> None:
    data: Any = "deep"
    for _ in range(50):
        data = [data]
    assert "deep" not in str(masked(data))


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "a@" * 50_000, "http://" * 20_000, "+1" + " " * 100_000],
    ids=["letters", "at", "links", "a number without an end"],
)
def test_a_long_text_is_masked_in_time_with_its_length(text: str) -> None:
    begun = time.process_time()
    masked({"text": text})
    assert time.process_time() - begun < 5
