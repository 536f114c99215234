"""What the tests of the planner share: a few types, channels and addresses, and facts in which nothing is special."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from notifier.core.facts import AddressFacts, ChannelFacts, Facts, TypeFacts
from notifier.core.limits import Limit
from notifier.core.plan import plan
from notifier.core.preferences import EVERY_CHANNEL, Preferences
from notifier.core.quiet_hours import QuietHours
from notifier.core.routing import Scores

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 15, 23, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
MORNING = datetime(2026, 1, 16, 6, tzinfo=UTC)  # 07:00 in Berlin

MAIL = AddressFacts(1, "email", "a…@x.test", is_primary=True)
OTHER_MAIL = AddressFacts(2, "email", "b…@x.test")
PHONE_A, PHONE_B = AddressFacts(3, "push", "…aaa"), AddressFacts(4, "push", "…bbb")

NEWS = TypeFacts("newsletter", "marketing", "low", ("email",))
LIKE = TypeFacts("like", "social", "medium", ("inapp", "push", "email"))
SHIPPED = TypeFacts("order_shipped", "transactional", "high", ("inapp", "email"))
ALERT = TypeFacts("security_alert", "system", "urgent", ("email",), mandatory=True)
ACTIVITY = TypeFacts("account_activity", "system", "medium", ("inapp", "email"))
CHANNELS = {
    "inapp": ChannelFacts("inapp", needs_address=False, waits_when_quiet=False),
    "email": ChannelFacts("email"),
    "sms": ChannelFacts("sms", default_on=False),
    "push": ChannelFacts("push", every_address=True),
}
NIGHT = Preferences(quiet_hours=QuietHours(time(22), time(7)))


def facts(type_: TypeFacts = NEWS, **changes: Any) -> Facts:
    base = Facts(
        type=type_,
        priority=type_.priority,
        zone=BERLIN,
        preferences=Preferences(),
        addresses=(MAIL, PHONE_A, PHONE_B),
        channels=CHANNELS,
    )
    return replace(base, **changes)


def decided(f: Facts, now: datetime = NOON) -> list[tuple[str, str, Any]]:
    """(channel, what, reason or due time) of every decision."""
    result = plan(f, now)
    return [(r.channel, "send" if r.due_at is None else r.reason or "", r.due_at) for r in result.routes] + [
        (s.channel, "skip", s.reason) for s in result.skips
    ]


_names = st.sampled_from(list(CHANNELS))
_limits = st.builds(
    Limit, st.sampled_from([EVERY_CHANNEL, "email"]), st.sampled_from(["hour", "day"]), st.integers(0, 5)
)
_choice = st.dictionaries(st.sampled_from([*CHANNELS, "*"]), st.booleans())
_quiet = st.builds(
    QuietHours,
    st.sampled_from([time(22), time(11)]),
    st.sampled_from([time(7), time(13, 30)]),
    st.just(frozenset(range(1, 8))),
)


def any_preferences() -> st.SearchStrategy[Preferences]:
    categories = st.sampled_from(["marketing", "social", "system", "transactional"])
    return st.builds(
        Preferences,
        channels=st.dictionaries(_names, st.booleans()),
        categories=st.dictionaries(categories, _choice),
        types=st.dictionaries(st.sampled_from(["newsletter", "like", "security_alert", "order_shipped"]), _choice),
        quiet_hours=st.none() | _quiet,
        mute_until=st.none() | st.sampled_from([NOON - timedelta(hours=1), NOON + timedelta(hours=3), MIDNIGHT]),
        held=st.sampled_from(["wait", "drop", "summary"]),
        digest=st.dictionaries(categories, st.sampled_from(["off", "hourly", "daily", "weekly"])),
    )


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Whatever may be known about one notification."""
    type_ = draw(st.sampled_from([NEWS, LIKE, SHIPPED, ALERT, ACTIVITY]))
    states = st.sets(st.sampled_from(["unverified", "bounced", "*", "marketing"]), max_size=1)
    addresses = [_in_state(address, draw(states)) for address in (MAIL, OTHER_MAIL, PHONE_A, PHONE_B)]
    return facts(
        type_,
        priority=draw(st.sampled_from([type_.priority, "urgent"])),
        preferences=draw(any_preferences()),
        addresses=tuple(address for address in addresses if draw(st.booleans())),
        channels={
            name: replace(
                channel, is_on=draw(st.integers(0, 5)) > 0, percentage=draw(st.sampled_from([100, 100, 50, 0]))
            )
            for name, channel in CHANNELS.items()
        },
        requested=draw(st.none() | st.lists(_names, min_size=1).map(tuple)),
        send_at=draw(
            st.none() | st.sampled_from([NOON - timedelta(minutes=1), NOON + timedelta(minutes=90), MIDNIGHT])
        ),
        expires_at=draw(st.none() | st.sampled_from([NOON, NOON + timedelta(hours=2), NOON + timedelta(days=8)])),
        routing=draw(st.sampled_from(["all", "first", "escalate", "best"])),
        is_flooded=draw(st.integers(0, 9)) == 0,
        user_id=draw(st.sampled_from(["alice", "bob", "carol"])),
        duplicate_of=draw(st.sampled_from([None] * 5 + ["ntf_1"])),
        superseded_by=draw(st.sampled_from([None] * 5 + ["ntf_2"])),
        over_cap=draw(st.dictionaries(_names, _limits)),
        scores=draw(st.builds(Scores, person=st.dictionaries(_names, st.sampled_from([(5, 2), (20, 19)])))),
        seed=draw(st.integers(0, 3)),
    )


def _in_state(address: AddressFacts, states: set[str]) -> AddressFacts:
    if "unverified" in states:
        return replace(address, is_verified=False)
    if "bounced" in states:
        return replace(address, disabled_reason="bounced")
    return replace(address, suppressed_for=frozenset(states))
