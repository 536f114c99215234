"""The limits of an installation: one row for each, in one table. docs/limits.md shows it (a test compares).

Who counts reads windows and defaults here: `api.limits` for callers, `ledgers.flood` and `ledgers.new_phones` for what
is sent, `ledgers.spend` for money, `web.throttle` and `web.rates` for the sign-in.
"""

from dataclasses import dataclass

_REFUSED = "429 with `Retry-After`"
_PASSES = "passes, and is counted as unchecked"
_LATER = "refused: try later"
_OWN_COUNT = "each process counts for itself, and says so"


@dataclass(frozen=True, slots=True)
class Policy:
    """One limit: whom or what it counts, how much is allowed (as the setting is written; None: no limit unless one is
    set), the setting that changes it, what becomes of what is beyond it, and what holds while Redis is away.
    """

    name: str  # in `RateLimit` headers and in metrics
    subject: str
    default: str | None
    setting: str | None
    answer: str
    without_redis: str


_POLICIES = (
    # callers
    Policy(
        "default", "notifications asked for with a producer's key", "200000/minute", "RATE_LIMIT", _REFUSED, _PASSES
    ),
    Policy("address", "calls without a key, by network address", "6000/minute", "ADDRESS_LIMIT", _REFUSED, _PASSES),
    Policy(
        *("known", "calls of signed-in people, by network address", "60000/minute"),
        *("ADDRESS_LIMIT", f"{_REFUSED}; ten times `address`", _PASSES),
    ),
    Policy("alerts", "alerts of a monitoring, by its key", "100/10 minutes", None, _REFUSED, _PASSES),
    Policy("guess", "invalid keys and tokens, by network address", "60/minute", None, _REFUSED, _PASSES),
    Policy("link_pair", "sign-in links, by mailbox and network", "5/15 minutes", None, _REFUSED, _OWN_COUNT),
    Policy("link_address", "sign-in links, by network address", "50/15 minutes", None, _REFUSED, _OWN_COUNT),
    Policy(
        *("link_mailbox", "sign-in links, by mailbox", "5/15 minutes", None),
        *("none is sent, but as `link_further` allows", _OWN_COUNT),
    ),
    Policy("link_further", "further links, by mailbox", "1/3 minutes", None, "none is sent", _OWN_COUNT),
    Policy(
        "challenge",
        "sign-ins with a passkey and new passkeys that are begun, by address",
        "300/15 minutes",
        None,
        _REFUSED,
        _OWN_COUNT,
    ),
    Policy(
        *("password", "tries at a password, by account and network", "5, then a second, two, four …"),
        *(None, _REFUSED, _OWN_COUNT),
    ),
    Policy(
        "second_factor",
        "tries at a code of the second factor, by account and network, and by account",
        "5, then one in 15 minutes; 20 a day, then the same",
        *(None, _REFUSED, _OWN_COUNT),
    ),
    Policy(
        "failures",
        "links that are none, and returns from the sign-in provider that fail, by network",
        "100/15 minutes",
        None,
        _REFUSED,
        _OWN_COUNT,
    ),
    Policy("wall", "looks at the screen on the wall, by its link", "60/minute", None, _REFUSED, _OWN_COUNT),
    # what people ask to be sent
    Policy("code_own", "codes for one address of a person", "5/hour", None, "refused on the page", _LATER),
    Policy("code_person", "codes that a person asks for", "10/hour", None, "refused on the page", _LATER),
    Policy("code_address", "codes for an address, whoever asks", "10/hour", None, "none is sent", _LATER),
    Policy("trial", "test messages by one admin, for each kind", "20/10 minutes", None, "refused", _LATER),
    # destinations
    Policy(
        *("recipient", "one urgent or mandatory type, by person, and by address or device", "30/10 minutes"),
        *("RECIPIENT_LIMIT", "skipped, `recipient_limit`", _PASSES),
    ),
    Policy(
        *("phone", "calls and transactional SMS, by phone number", "120/hour"),
        *("PHONE_LIMIT", "skipped, `recipient_limit`", _PASSES),
    ),
    Policy(
        *("new_phones", "first-time phone numbers, by producer and block of 10,000 numbers", "100/hour"),
        *("NEW_PHONES_LIMIT", "skipped, `new_phones`; admins are told once a day", _OWN_COUNT),
    ),
    Policy(
        *("countries", "phone numbers, by country", None, "PHONE_COUNTRIES"),
        *("skipped, `country_not_allowed`", "holds: Redis is not asked"),
    ),
    Policy(
        *("spend", "the price of SMS, calls and WhatsApp, by producer and day (UTC)", None, "SPEND_LIMIT"),
        *("skipped, `spend_limit`; admins are told once a day", "holds: the database counts"),
    ),
    Policy(
        *("caps", "notifications, by person and category", "see `CAPS`", "CAPS"),
        *("skipped or kept for the summary, `frequency_cap`", _PASSES),
    ),
)

POLICIES = {policy.name: policy for policy in _POLICIES}


def default_of(name: str) -> str:
    """How much is allowed by default, as the setting is written. Raises KeyError, and ValueError for none."""
    default = POLICIES[name].default
    if default is None:
        raise ValueError(f"{name} has no default")
    return default
