"""Who opened a mail or followed its link: what the request says, and the hits beside it."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from notifier.core.tracking import DECOY, Hit, is_of_scan, verdict

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
LATER = timedelta(minutes=3)
START = datetime(2026, 12, 1, 9, tzinfo=UTC)


def hit(
    kind: Literal["opened", "clicked"] = "clicked",
    *,
    method: str = "GET",
    since_sent: timedelta | None = LATER,
    number: int | None = 1,
    is_crawler: bool = False,
    **headers: str,
) -> Hit:
    said = {"user-agent": CHROME} | {name.replace("_", "-"): value for name, value in headers.items()}
    return Hit(kind, method, said, since_sent, number if kind == "clicked" else None, is_crawler)


@pytest.mark.parametrize(
    ("one", "by"),
    [
        (hit(), "person"),
        (hit("opened"), "person"),
        (hit(since_sent=None), "person"),
        (hit(since_sent=timedelta(seconds=5)), "person"),
        (hit(since_sent=timedelta(seconds=4.9)), "machine"),
        (hit("opened", since_sent=timedelta()), "machine"),
        (hit(since_sent=timedelta(seconds=-1)), "machine"),
        (hit(number=DECOY), "machine"),
        (hit(is_crawler=True), "machine"),
        (hit("opened", is_crawler=True), "machine"),
        (hit(user_agent=""), "unknown"),
        (hit("opened", user_agent=" "), "unknown"),
        (hit("opened", user_agent="Mozilla/5.0"), "machine"),
        (hit(user_agent="Mozilla/5.0"), "machine"),
        (hit("opened", user_agent=GMAIL, is_crawler=True), "unknown"),
        (hit("opened", user_agent=YAHOO, is_crawler=True), "unknown"),
        (hit("opened", user_agent=GMAIL, is_crawler=True, since_sent=timedelta(seconds=1)), "machine"),
        (hit(user_agent=GMAIL, is_crawler=True), "machine"),
        (hit(method="HEAD"), None),
        (hit("opened", method="HEAD"), None),
        (hit(sec_purpose="prefetch;prerender"), None),
        (hit(purpose="prefetch"), None),
        (hit(x_purpose="preview"), None),
        (hit(x_moz="Prefetch"), None),
        (hit(purpose="reading"), "person"),
        (hit(number=DECOY, sec_purpose="prefetch"), None),
    ],
)
def test_the_verdict_on_a_hit(one: Hit, by: str | None) -> None:
    assert verdict(one) == by


@pytest.mark.parametrize(
    ("others", "is_scan"),
    [
        ([], False),
        ([(1, 0)], False),
        ([(1, 0), (1, 0.5)], False),
        ([(1, 0), (2, 0.9)], True),
        ([(1, 0), (2, -1)], True),
        ([(1, 0), (2, 1.1)], False),
        ([(1, 0), (2, 30), (3, -30)], False),
        ([(DECOY, 50)], True),
        ([(DECOY, -60)], True),
        ([(DECOY, -61)], False),
    ],
)
def test_several_links_at_once_or_one_that_nobody_sees_are_a_scan(
    others: list[tuple[int, float]], is_scan: bool
) -> None:
    """`others`: link and second; the hit itself is at 0."""
    assert is_of_scan(START, [(number, START + timedelta(seconds=second)) for number, second in others]) is is_scan
