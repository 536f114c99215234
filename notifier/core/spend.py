"""Money that messages cost: reckoned in millionths of the currency, so that nothing is rounded away."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation

_MICROS = 1_000_000
MOST = 1_000_000_000  # of the currency, a day


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most that may be spent in a day, in millionths."""

    micros: int
    currency: str


def parse_amount(text: str) -> int:
    """`12.50` → millionths. Raises ValueError with a sentence for people."""
    try:
        amount = Decimal(text.strip())
    except InvalidOperation:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount <= MOST and len(text) <= 24 and text.isascii()):
        raise ValueError(f"this must be an amount such as 12.50, at most {MOST:,}")
    return micros(amount)


def parse_ceiling(text: str) -> Ceiling:
    """`50 EUR`. Raises ValueError, as the end of a sentence that begins with the setting's name."""
    amount, _, currency = text.strip().partition(" ")
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise ValueError("must be an amount and a currency, such as 50 EUR")
    try:
        return Ceiling(parse_amount(amount), currency)
    except ValueError:
        raise ValueError("must be an amount and a currency, such as 50 EUR") from None


def micros(amount: Decimal) -> int:
    """Rounded up: a message never costs nothing because its price is small."""
    return int((amount * _MICROS).to_integral_value(ROUND_CEILING))


def shown(amount: int) -> str:
    """Millionths → `12.50`, with as many places as it takes and two at least."""
    whole, rest = divmod(abs(amount), _MICROS)
    places = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}{whole}.{places}"
