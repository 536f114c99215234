"""Money: read, reckoned in millionths, and shown."""

from decimal import Decimal

import pytest

from notifier.core.spend import MOST, Ceiling, micros, parse_amount, parse_ceiling, shown


@pytest.mark.parametrize(
    ("text", "amount", "again"),
    [
        ("12.50", 12_500_000, "12.50"),
        (" 0 ", 0, "0.00"),
        ("0.0000001", 1, "0.000001"),  # rounded up
        ("7", 7_000_000, "7.00"),
        ("0.075", 75_000, "0.075"),
        (str(MOST), MOST * 1_000_000, f"{MOST}.00"),
    ],
)
def test_an_amount_is_read_and_shown(text: str, amount: int, again: str) -> None:
    assert (parse_amount(text), shown(amount)) == (amount, again)


@pytest.mark.parametrize("text", ["", "-1", "1e99", "nan", "inf", "1,50", "1 EUR", str(MOST + 1), "١", "1" * 30])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_amount(text)


def test_a_ceiling_has_a_currency() -> None:
    assert parse_ceiling("50 EUR") == Ceiling(50_000_000, "EUR")
    for text in ("50", "50 eur", "EUR 50", "x EUR", "-1 EUR"):
        with pytest.raises(ValueError, match="50 EUR"):
            parse_ceiling(text)


def test_nothing_that_has_a_price_costs_nothing() -> None:
    assert micros(Decimal("0.0000000001")) == 1
