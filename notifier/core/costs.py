"""What messages cost: how many were taken by a provider, times what one costs. All of it is arithmetic: no provider has
said so, and a price that has changed is reckoned with as it is today.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from notifier.core.segments import Price

SEGMENT = "segment"
_ONE = re.compile(r"([a-z][a-z0-9_]{0,31}) (.+)", re.ASCII)


def parse_prices(text: str) -> tuple[dict[str, Price], list[str]]:
    """`email 0.0004 EUR, push 0 EUR` → by channel; and all that is wrong, as the end of a sentence."""
    prices, faults = dict[str, Price](), list[str]()
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _ONE.fullmatch(part)
        if found is None:
            faults.append(f"{part!r} must look like email 0.0004 EUR")
        elif found[1] in prices:
            faults.append(f"{found[1]} is named twice")
        else:
            try:
                prices[found[1]] = Price.parse(found[2])
            except ValueError as error:
                faults.append(f"{found[1]} {error}")
    return prices, faults


@dataclass(frozen=True, slots=True)
class Used:
    """Messages that an account of a provider has taken on a channel. `type`, `account`: "" where they are not told
    apart.
    """

    type: str
    channel: str
    account: str
    messages: int


@dataclass(frozen=True, slots=True)
class Line:
    """What was used. `units`: what is paid for, segments say; reckoned from the average where `is_average`. `cost`
    None: nobody has said what one costs.
    """

    type: str
    channel: str
    account: str
    messages: int
    units: Decimal
    is_average: bool
    price: Decimal | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Prices:
    """`by_channel`: of a message, of a call, of a segment. `segments`: of how many an SMS was on average."""

    by_channel: Mapping[str, Decimal]
    by_segment: frozenset[str]
    segments: Decimal

    def line(self, used: Used) -> Line:
        is_average = used.channel in self.by_segment
        units = used.messages * (self.segments if is_average else Decimal(1))
        price = self.by_channel.get(used.channel)
        cost = None if price is None else units * price
        return Line(used.type, used.channel, used.account, used.messages, units, is_average, price, cost)

    def lines(self, used: Iterable[Used]) -> list[Line]:
        """Dearest first."""
        found = map(self.line, used)
        return sorted(found, key=lambda line: (-(line.cost or 0), line.type, line.channel, line.account))


def without_types(used: Iterable[Used]) -> list[Used]:
    """By channel and account."""
    return _summed(replace(one, type="") for one in used)


def without_accounts(used: Iterable[Used]) -> list[Used]:
    """By event type and channel."""
    return _summed(replace(one, account="") for one in used)


def _summed(used: Iterable[Used]) -> list[Used]:
    messages: Counter[Used] = Counter()
    for one in used:
        messages[replace(one, messages=0)] += one.messages
    return [replace(one, messages=number) for one, number in messages.items()]


def total(lines: Iterable[Line]) -> Decimal:
    """Of those whose price is known."""
    return sum((line.cost for line in lines if line.cost is not None), Decimal(0))


def average(segments: int, messages: int) -> Decimal:
    """Of an SMS; 1 where none was counted, and never less."""
    return max(Decimal(1), Decimal(segments) / messages) if messages else Decimal(1)


def shown(amount: Decimal) -> str:
    """With four places: what a mail costs has as many."""
    return f"{amount:,.4f}"
