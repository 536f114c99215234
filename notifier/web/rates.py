"""Limits how often strangers may ask: for sign-in links, challenges for passkeys, looks at a wall.

Links go to a mailbox at a limited rate, silently: if no link is sent, the mailbox holds one from just before. Nobody
can use up the links in another person's mailbox. `web.throttle` slows down guessing.
"""

from limits import RateLimitItem, parse
from limits.strategies import FixedWindowRateLimiter

from notifier.core.limit_policies import default_of
from notifier.core.networks import neighbourhood
from notifier.ground import metrics
from notifier.web.sign_in_counts import SITE, Storage, ask, key_of

LINKS_PER_PAIR = parse(default_of("link_pair"))
LINKS_PER_ADDRESS = parse(default_of("link_address"))
LINKS_PER_MAILBOX = parse(default_of("link_mailbox"))
# Beyond these: the latest has 12 minutes left at least
FURTHER_LINKS = parse(default_of("link_further"))
CHALLENGES_PER_ADDRESS = parse(default_of("challenge"))
LOOKS_AT_WALL = parse(default_of("wall"))


def may_ask_for_link(email: str, address: str) -> bool:
    """Counts a request for a link, whether or not anybody has that e-mail."""
    place = key_of("address", neighbourhood(address))
    pair = key_of("pair", email, neighbourhood(address, SITE))
    return ask(
        lambda storage: (
            _hit(storage, "link_address", LINKS_PER_ADDRESS, place) and _hit(storage, "link_pair", LINKS_PER_PAIR, pair)
        )
    )


def may_be_challenged(address: str) -> bool:
    """Counts a challenge for a passkey, which is stored."""
    place = key_of("address", neighbourhood(address))
    return ask(lambda storage: _hit(storage, "challenge", CHALLENGES_PER_ADDRESS, place))


def may_send_link(email: str) -> bool:
    """Counts a link. False if the mailbox has had enough; it then has one that was sent within the last minutes."""
    mailbox = key_of("mailbox", email)
    return ask(
        lambda storage: (
            _hit(storage, "link_mailbox", LINKS_PER_MAILBOX, mailbox)
            or _hit(storage, "link_further", FURTHER_LINKS, mailbox)
        )
    )


def _hit(storage: Storage, policy: str, limit: RateLimitItem, key: str) -> bool:
    has_room = FixedWindowRateLimiter(storage).hit(limit, key)
    if not has_room:
        metrics.limited.labels(policy).inc()
    return has_room


def may_look_at_wall(link: str) -> bool:
    """Counts a look: a few screens may share a link, and nobody can keep the database busy with it."""
    return ask(lambda storage: _hit(storage, "wall", LOOKS_AT_WALL, key_of("wall", link)))


def seconds_left() -> int:
    """The longest one may have to wait for a link."""
    return int(LINKS_PER_PAIR.get_expiry())
