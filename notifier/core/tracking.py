"""Who opened a mail or followed a link in it, judged by what the request itself says.

Mail scanners follow every link, mail programs fetch images beforehand, browsers load pages that nobody has asked for
yet: listmonk#1025 saw half of all mails "opened" within two minutes. The door (`web.person.tracked`) asks `verdict` at
the hit; `delivery.kept_receipts` asks `is_of_scan` a moment later, when the hits beside it are known. Only the verdict
is kept.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Verdict = Literal["person", "machine", "unknown"]

ACCOUNT = "~tracking"  # who speaks in the receipts of our own links; no account of a provider can have that name
DECOY = 0  # the number of the link that no person sees; the others count from 1
SETTLED_AFTER = timedelta(seconds=2)  # a hit counts only then

_TOO_SOON = timedelta(seconds=5)  # nobody has got, seen and opened a mail so soon after its server took it
_AT_ONCE = timedelta(seconds=1)  # nobody follows several links in it
_SPOILT = timedelta(minutes=1)  # around a hit on the decoy
# What browsers and mail programs say of a fetch that nobody has asked for: https://wicg.github.io/nav-speculation/,
# Firefox's X-Moz, Safari's X-Purpose.
_PURPOSES = ("sec-purpose", "purpose", "x-purpose", "x-moz")
_AHEAD = ("prefetch", "prerender", "preview", "instant")
# Fetch an image when its reader opens the mail, and sometimes before: https://support.google.com/mail/answer/145919
_IMAGE_PROXIES = ("googleimageproxy", "yahoomailproxy")
# Apple's Mail Privacy Protection loads every image at delivery, under this name and no more.
_APPLE_PRIVACY = "Mozilla/5.0"


@dataclass(frozen=True, slots=True)
class Hit:
    """One request for a link or a pixel. `since_sent`: how long after its mail went out, None where nobody knows.
    `headers` by lower-case name. `is_crawler`: the user agent is one of the known ones.
    """

    kind: Literal["opened", "clicked"]
    method: str
    headers: Mapping[str, str]
    since_sent: timedelta | None
    number: int | None = None  # of the link
    is_crawler: bool = False


def verdict(hit: Hit) -> Verdict | None:
    """None: it is not to be counted as anything, since nothing was opened or followed yet."""
    if hit.method != "GET" or _is_ahead(hit.headers):
        return None
    agent = hit.headers.get("user-agent", "").strip()
    if hit.number == DECOY or (hit.since_sent is not None and hit.since_sent < _TOO_SOON) or agent == _APPLE_PRIVACY:
        return "machine"
    if hit.kind == "opened" and any(proxy in agent.lower() for proxy in _IMAGE_PROXIES):
        return "unknown"
    if hit.is_crawler:
        return "machine"
    return "person" if agent else "unknown"


def _is_ahead(headers: Mapping[str, str]) -> bool:
    said = " ".join(headers.get(name, "") for name in _PURPOSES).lower()
    return any(word in said for word in _AHEAD)


def is_of_scan(at: datetime, others: Iterable[tuple[int | None, datetime]]) -> bool:
    """Whether a hit at that time is one of a scanner's. `others`: the hits on the same mail, each with the number of
    its link (None: no link, which says nothing) and its time; the hit itself may be among them.
    """
    at_once = set()
    for number, other_at in others:
        apart = abs(at - other_at)
        if number == DECOY and apart <= _SPOILT:
            return True
        if number is not None and apart <= _AT_ONCE:
            at_once.add(number)
    return len(at_once) > 1
