"""Slows down guessing at the sign-in, more and more, by account and by network address; and stops it, for a while, at
links that are none and at ways back from the OpenID provider. `web.rates` limits what strangers may ask for.

Nobody can use up another person's tries of a right password.

- A browser in which the account has signed in before (it holds a *device cookie*, which opens nothing) has tries of its
  own, and is not affected by anybody else's
  (https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
- A session has tries of its own, too, when it asks again for the password or a code of the second factor: a stolen
  cookie uses up no others.
- Codes of the second factor have tries of their own, by account, browser and address, and those of all addresses
  together are few: six digits are. Browsers that the account does not know share them, one that it knows has its own.
- From any other browser, each network address has its own tries at each account: five are checked, the next ones wait,
  longer each time. Nothing is refused because others guess; but while many do, an address that has used its five tries
  waits for hours.
- The passwords of one address are checked one after the other, and late after many failures at any accounts.

A try counts before it is checked, so parallel tries gain nothing, and is given back if it was right.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import BoundedSemaphore, Lock
from weakref import WeakValueDictionary

from flask import current_app
from limits import parse

from notifier.core.limit_policies import default_of
from notifier.core.networks import neighbourhood
from notifier.ground import metrics
from notifier.ground.clock import now
from notifier.web.language import ngettext
from notifier.web.sign_in_counts import SITE, Storage, ask, key_of

_FAILURES = parse(default_of("failures"))  # at links that are none, and at coming back from the provider
MOST_FAILURES = _FAILURES.amount

_KEPT_S = 4 * 3600  # what is known of an account, and of who tried at it
_TOGETHER_KEPT_S = 24 * 3600
_FAILURES_KEPT_S = _FAILURES.get_expiry()  # of an address
_MOST_WAITING = 16  # of one address, in one process
_BUSY_RETRY_S = 5


@dataclass(frozen=True, slots=True)
class Waits:
    """`free` tries; after each further one it takes twice as long, `longest_s` at most. `policy`: the limit's name."""

    free: int
    first_s: float
    longest_s: float
    doubled_every: int = 1
    policy: str = "password"

    def after(self, tries: int) -> float:
        """Seconds until the next one."""
        if tries < self.free:
            return 0
        return float(min(self.longest_s, self.first_s * 2 ** min((tries - self.free) // self.doubled_every, 32)))


PER_PAIR = Waits(free=5, first_s=1, longest_s=900)
PER_PAIR_UNDER_ATTACK = Waits(free=5, first_s=_KEPT_S, longest_s=_KEPT_S)
ATTACKED_AFTER = 100  # failures of strangers at one account
PER_DEVICE = Waits(free=10, first_s=1, longest_s=900)
_CODE_WAIT_S = 15 * 60
# Of one browser, or session; and of all addresses, in a day
PER_CODE = Waits(free=5, first_s=_CODE_WAIT_S, longest_s=_CODE_WAIT_S, policy="second_factor")
PER_CODE_TOGETHER = Waits(free=20, first_s=_CODE_WAIT_S, longest_s=_CODE_WAIT_S, policy="second_factor")
PER_ADDRESS = Waits(free=30, first_s=0.05, longest_s=1, doubled_every=20)  # late, not refused


@dataclass(slots=True)
class Try:
    """One try at a password. `retry_after_s` > 0: it is not looked at before then; otherwise after `hold_s`. `account`
    None: from a known browser.
    """

    own: str
    account: str | None
    place: str
    retry_after_s: int = 0
    hold_s: float = 0


@dataclass(frozen=True, slots=True)
class CodeTry:
    """One try at a code of the second factor. `retry_after_s` > 0: it is not looked at before then."""

    keys: tuple[str, str]
    retry_after_s: int


class _Line:
    """The waiting line of tries that are checked one after the other."""

    def __init__(self) -> None:
        self.room = BoundedSemaphore(_MOST_WAITING)
        self.turn = Lock()


@contextmanager
def attempt(email: str, address: str, device: str | None = None, per_device: Waits = PER_DEVICE) -> Iterator[Try]:
    """Counts a try, as `begin`, when its turn has come. Do nothing inside but check the password: the address's other
    tries wait.

    Tries from known browsers wait for those of their own account, and not for strangers behind the same address.
    """
    lines: WeakValueDictionary[str, _Line] = current_app.extensions.setdefault(
        "sign_ins_waiting", WeakValueDictionary()
    )
    # There while anybody waits
    line = lines.setdefault(f"account {email}" if device else f"address {neighbourhood(address)}", _Line())
    if not line.room.acquire(blocking=False):
        # Not counted as a try: it was no guess, and so many would fill Redis
        metrics.limited.labels(per_device.policy).inc()
        yield Try("", None, "", retry_after_s=_BUSY_RETRY_S)
        return
    try:
        with line.turn:
            one = begin(email, address, device, per_device)
            if not one.retry_after_s:
                time.sleep(one.hold_s)
            yield one
    finally:
        line.room.release()


def begin(email: str, address: str, device: str | None = None, per_device: Waits = PER_DEVICE) -> Try:
    """Counts a try. `device`: the content of the browser's device cookie, if it is one of that account, or the id of a
    session of the account.
    """
    own = key_of("device", device) if device else key_of("pair", email, neighbourhood(address, SITE))
    place = key_of("address", neighbourhood(address))
    one = Try(own, None if device else key_of("account", email), place)

    def count(storage: Storage) -> Try:
        waits = _per_pair(storage, one.account) if one.account else per_device
        one.retry_after_s = _take(storage, one.own, waits, _KEPT_S)
        if one.retry_after_s:
            return one
        if one.account:
            storage.incr(one.account, _KEPT_S)
        failures = storage.incr(place, _FAILURES_KEPT_S)
        one.hold_s = 0 if device else PER_ADDRESS.after(failures - 1)
        return one

    return ask(count)


def begin_code(account: str, address: str, device: str | None = None) -> CodeTry:
    """Counts a try at the sign-in of an account. `device`: as in `begin`.

    Who has stolen a cookie from halfway through a sign-in, or the password, uses up no tries of a browser that the
    account knows, and none at another address.
    """
    browser = device or ""
    own = key_of("code", account, browser, neighbourhood(address, SITE))
    together = key_of("codes", account, browser)

    def count(storage: Storage) -> CodeTry:
        wait = _take(storage, own, PER_CODE, _KEPT_S)
        return CodeTry((own, together), wait or _take(storage, together, PER_CODE_TOGETHER, _TOGETHER_KEPT_S))

    return ask(count)


def succeed_code(one: CodeTry) -> None:
    """The code was right: tries are counted from none again."""

    def forget(storage: Storage) -> None:
        for key in one.keys:
            storage.clear(key)
            storage.clear(f"{key}/blocked")

    ask(forget)


def _take(storage: Storage, key: str, waits: Waits, kept_s: int) -> int:
    """Counts a try. → 0, or the seconds until it may be made, in which case it does not count."""
    wait = _wait_of(storage, key, waits, kept_s)
    if wait:
        metrics.limited.labels(waits.policy).inc()
    return wait


def _wait_of(storage: Storage, key: str, waits: Waits, kept_s: int) -> int:
    blocked_s = _blocked_for(storage, key)
    if blocked_s:
        return blocked_s
    wait = waits.after(storage.incr(key, kept_s))
    if wait and storage.incr(f"{key}/blocked", int(wait)) > 1:  # another one was faster, of many at once
        storage.incr(key, kept_s, -1)
        return max(1, _blocked_for(storage, key))
    return 0


def _per_pair(storage: Storage, account: str) -> Waits:
    return PER_PAIR_UNDER_ATTACK if storage.get(account) >= ATTACKED_AFTER else PER_PAIR


def succeed(one: Try) -> None:
    """The password was right: its try is given back, and the other tries at the account from there are deleted."""

    def forget(storage: Storage) -> None:
        storage.clear(one.own)
        storage.clear(f"{one.own}/blocked")
        if one.account:
            storage.incr(one.account, _KEPT_S, -1)
        storage.incr(one.place, _FAILURES_KEPT_S, -1)

    ask(forget)


def may_try_again(address: str) -> bool:
    """Whether the address may try another link, or come back from the provider once more. Counts nothing: see
    `note_failure`.
    """
    may = ask(lambda storage: storage.get(key_of("address", neighbourhood(address))) <= MOST_FAILURES)
    if not may:
        metrics.limited.labels("failures").inc()
    return may


def note_failure(address: str) -> None:
    ask(lambda storage: storage.incr(key_of("address", neighbourhood(address)), _FAILURES_KEPT_S))


def in_words(seconds: int) -> str:
    """A wait in the largest unit that makes it at least two, rounded up: `90 seconds`, `4 hours`."""
    if seconds >= 2 * 3_600:
        return ngettext("%(num)s hour", "%(num)s hours", -(-seconds // 3_600))
    if seconds >= 2 * 60:
        return ngettext("%(num)s minute", "%(num)s minutes", -(-seconds // 60))
    return ngettext("%(num)s second", "%(num)s seconds", seconds)


def _blocked_for(storage: Storage, key: str) -> int:
    if not storage.get(f"{key}/blocked"):
        return 0
    return max(1, round(storage.get_expiry(f"{key}/blocked") - now().timestamp()))
