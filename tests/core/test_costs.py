"""What messages cost: counts times prices, in exact decimals."""

from decimal import Decimal

import pytest

from notifier.core.costs import Prices, Used, average, parse_prices, shown, total, without_accounts, without_types

PRICES = Prices({"email": Decimal("0.0004"), "sms": Decimal("0.075")}, frozenset({"sms"}), Decimal("1.5"))


@pytest.mark.parametrize(
    ("used", "units", "cost", "is_average"),
    [
        (Used("offer", "email", "smtp", 250_000), "250000", "100.0000", False),
        (Used("offer", "sms", "twilio", 10), "15.0", "1.1250", True),
        (Used("offer", "push", "fcm", 7), "7", None, False),
        (Used("offer", "email", "smtp", 0), "0", "0.0000", False),
    ],
)
def test_a_line_is_its_units_times_their_price(used: Used, units: str, cost: str | None, is_average: bool) -> None:
    line = PRICES.line(used)
    assert (line.units, line.is_average) == (Decimal(units), is_average)
    assert line.cost == (None if cost is None else Decimal(cost))


def test_a_total_leaves_out_what_nobody_knows_the_price_of() -> None:
    lines = [PRICES.line(Used("a", channel, "", 10)) for channel in ("email", "sms", "push")]
    assert total(lines) == Decimal("1.1290")
    assert total([]) == 0


def test_messages_are_added_up_by_type_or_by_account_and_shown_dearest_first() -> None:
    used = [Used("a", "sms", "twilio", 1), Used("b", "sms", "twilio", 2), Used("b", "sms", "spare", 4)]
    used.append(Used("b", "email", "smtp", 8))
    by_type, by_account = PRICES.lines(without_accounts(used)), PRICES.lines(without_types(used))
    assert [(line.type, line.channel, line.account, line.messages) for line in by_type] == [
        ("b", "sms", "", 6),
        ("a", "sms", "", 1),
        ("b", "email", "", 8),
    ]
    assert [(line.type, line.channel, line.account, line.messages) for line in by_account] == [
        ("", "sms", "spare", 4),
        ("", "sms", "twilio", 3),
        ("", "email", "smtp", 8),
    ]
    assert total(by_type) == total(by_account) == total(PRICES.lines(used))


@pytest.mark.parametrize(("segments", "messages", "expected"), [(30, 20, "1.5"), (0, 0, "1"), (0, 9, "1"), (5, 9, "1")])
def test_an_sms_is_at_least_one_segment(segments: int, messages: int, expected: str) -> None:
    assert average(segments, messages) == Decimal(expected)


def test_amounts_are_shown_with_the_places_of_small_prices() -> None:
    assert shown(Decimal("1234.5")) == "1,234.5000"


def test_prices_are_read_by_channel() -> None:
    prices, faults = parse_prices("email 0.0004 EUR, push 0 EUR")
    assert {name: str(price.amount) for name, price in prices.items()} == {"email": "0.0004", "push": "0"}
    assert faults == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("email", "'email' must look like email 0.0004 EUR"),
        ("email=1 EUR", "must look like"),
        ("email 1", "email must end in a currency of three letters"),
        ("email -1 EUR", "email must be an amount and a currency"),
        ("email 1 EUR, email 2 EUR", "email is named twice"),
    ],
)
def test_what_is_no_price_is_said(text: str, fault: str) -> None:
    assert fault in parse_prices(text)[1][0]
