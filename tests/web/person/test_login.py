"""Signing in and out."""

import heapq
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from apiflask import APIFlask
from argon2 import PasswordHasher
from limits.storage import MemoryStorage

from notifier.access import accounts
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import redis_store
from notifier.models import Account
from notifier.web import rates, sign_in_counts, throttle
from tests.conftest import Statements
from tests.metered import growth
from tests.web.conftest import PASSWORD, Visitor

ALICE = "alice@example.test"


@pytest.fixture(autouse=True)
def alice(app: APIFlask) -> None:
    accounts.create_account(ALICE, PASSWORD, "person", "alice")


def test_the_right_password_opens_the_inbox(visitor: Visitor) -> None:
    answer = visitor.sign_in(" Alice@Example.test ")
    assert (answer.status_code, answer.location) == (303, "/inbox")
    assert visitor.get("/inbox").status_code == 200


@pytest.mark.parametrize(("email", "password"), [(ALICE, "wrong"), ("nobody@example.test", PASSWORD)])
def test_a_wrong_half_is_not_named(visitor: Visitor, email: str, password: str) -> None:
    answer = visitor.sign_in(email, password)
    assert answer.status_code == 401
    assert "Wrong e-mail or password." in answer.text
    assert visitor.get("/inbox").status_code == 302


@pytest.mark.parametrize(
    ("email", "password", "words"),
    [("", PASSWORD, "Enter your e-mail"), (ALICE, "", "Enter your password"), (ALICE, "x" * 1025, "longer than 1024")],
)
def test_an_incomplete_form_is_shown_again(visitor: Visitor, email: str, password: str, words: str) -> None:
    answer = visitor.sign_in(email, password)
    assert answer.status_code == 422
    assert words in answer.text


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/admin/failed?page=2", "/admin/failed?page=2"),
        ("https://evil.test/", "/inbox"),
        ("//evil.test", "/inbox"),
        ("/\\evil.test", "/inbox"),
    ],
)
def test_it_leads_back_to_where_one_came_from_if_that_is_ours(visitor: Visitor, target: str, leads_to: str) -> None:
    assert visitor.sign_in(ALICE, next=target).location == leads_to


def test_the_session_from_before_is_not_taken_over(visitor: Visitor) -> None:
    planted = visitor.csrf_token()
    visitor.client.set_cookie("planted", "1")
    with visitor.client.session_transaction() as session:
        session["left_by_somebody"] = True
    visitor.sign_in(ALICE)
    with visitor.client.session_transaction() as session:
        assert "left_by_somebody" not in session
    assert visitor.post("/preferences", {"csrf_token": planted}, token=False).status_code == 400


def test_the_cookie_is_kept_from_scripts_and_other_sites(visitor: Visitor) -> None:
    cookie = visitor.sign_in(ALICE).headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_signing_out_ends_the_session(signed_in: Callable[..., Visitor]) -> None:
    visitor = signed_in(user_id="bob")
    answer = visitor.post("/logout")
    assert (answer.status_code, answer.location) == (303, "/login")
    assert visitor.get("/inbox").status_code == 302
    assert visitor.client.get("/logout").status_code == 405


# --- guessing


def at(address: str, app: APIFlask) -> Visitor:
    """A browser of that network address that nobody has signed in with."""
    visitor = Visitor(app)
    visitor.client.environ_base["REMOTE_ADDR"] = address
    return visitor


def guess(visitor: Visitor, times: int, email: str = ALICE) -> list[int]:
    """Wrong passwords, one after the other; → the answers' statuses."""
    return [visitor.sign_in(email, "wrong").status_code for _ in range(times)]


def test_guessing_at_one_account_is_slowed_down_more_and_more(visitor: Visitor, app: APIFlask) -> None:
    assert guess(visitor, throttle.PER_PAIR.free) == [401] * throttle.PER_PAIR.free
    waits = []
    with time_machine.travel(now(), tick=False) as clock:
        for _ in range(4):
            throttle.begin(ALICE, "192.0.2.9")
        for _ in range(4):
            assert throttle.begin(ALICE, "192.0.2.9").retry_after_s == 0
            waits.append(throttle.begin(ALICE, "192.0.2.9").retry_after_s)
            _pass_by(clock, waits[-1])
    assert waits == [1, 2, 4, 8]


def _pass_by(clock: Any, seconds: int) -> None:
    """For us, and for Redis, which has a clock of its own."""
    clock.shift(timedelta(seconds=seconds))
    _let_go()


def _let_go() -> None:
    for key in redis_store.client.keys("throttle*blocked"):
        redis_store.client.delete(key)


def try_often(email: str = ALICE, addresses: Iterable[str] = ("127.0.0.1",) * 15, device: str | None = None) -> None:
    """So that the next try has to wait half a minute at least."""
    for address in addresses:
        _let_go()
        throttle.begin(email, address, device)


@pytest.mark.parametrize(
    ("waits", "tries", "seconds"),
    [
        (throttle.PER_PAIR, 4, 0),
        (throttle.PER_PAIR, 5, 1),
        (throttle.PER_PAIR, 10, 32),
        (throttle.PER_PAIR, 100, 900),
        (throttle.PER_PAIR_UNDER_ATTACK, 4, 0),
        (throttle.PER_PAIR_UNDER_ATTACK, 5, 4 * 3600),
        (throttle.PER_PAIR_UNDER_ATTACK, 100, 4 * 3600),
        (throttle.PER_ADDRESS, 29, 0),
        (throttle.PER_ADDRESS, 30, 0.05),
        (throttle.PER_ADDRESS, 10_000, 1),
    ],
    ids=str,
)
def test_how_long_the_next_try_takes(waits: throttle.Waits, tries: int, seconds: float) -> None:
    assert waits.after(tries) == seconds


def test_a_try_that_has_to_wait_is_not_looked_at_and_is_told_how_long(visitor: Visitor) -> None:
    try_often()
    answer = visitor.sign_in(ALICE)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert "Too many attempts. Wait " in answer.text
    assert "ask for a sign-in link" in answer.text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (1, "1 second"),
        (90, "90 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (121, "3 minutes"),
        (900, "15 minutes"),
        (7_199, "120 minutes"),
        (7_200, "2 hours"),
        (14_370, "4 hours"),
        (14_400, "4 hours"),
    ],
)
def test_a_long_wait_is_told_in_minutes_or_hours(seconds: int, said: str) -> None:
    assert throttle.in_words(seconds) == said


def test_who_has_to_wait_for_hours_is_told_hours(counts: None, app: APIFlask) -> None:
    attack(addresses=20)
    guess(at("192.0.2.9", app), 5)
    answer = at("192.0.2.9", app).sign_in(ALICE)
    assert "Too many attempts. Wait 4 hours, then try again" in answer.text
    assert int(answer.headers["Retry-After"]) == pytest.approx(4 * 3600, abs=60)


def test_a_stranger_who_guesses_elsewhere_does_not_lock_the_owner_out(visitor: Visitor, app: APIFlask) -> None:
    try_often()
    assert at("192.0.2.7", app).sign_in(ALICE).status_code == 303


def test_a_colleague_who_guesses_does_not_lock_the_owner_out_of_their_own_browser(
    visitor: Visitor, app: APIFlask
) -> None:
    own = Visitor(app)
    own.sign_in(ALICE)
    own.post("/logout")
    try_often()
    assert visitor.sign_in(ALICE).status_code == 429
    assert own.sign_in(ALICE).status_code == 303


@pytest.fixture
def counts(app: APIFlask) -> None:
    """Kept here: on a slow machine Redis might be given up between two of hundreds of tries."""
    here = MemoryStorage()
    app.extensions["sign_in_throttle"] = here, here


def attack(addresses: int) -> None:
    """So many strangers guess at alice's password, as often as they are let."""
    for number in range(addresses):
        for _ in range(throttle.PER_PAIR.free):
            assert throttle.begin(ALICE, f"10.{number >> 8}.{number & 255}.1").retry_after_s == 0


@pytest.mark.parametrize("strangers", [20, 60])
def test_however_many_addresses_guess_the_owner_gets_in_with_a_browser_not_used_before(
    counts: None, app: APIFlask, strangers: int
) -> None:
    attack(strangers)
    owner = at("198.51.100.1", app)
    assert guess(owner, throttle.PER_PAIR.free - 1) == [401] * (throttle.PER_PAIR.free - 1)  # and may mistype
    assert owner.sign_in(ALICE).status_code == 303


def test_an_account_that_many_guess_at_gives_each_address_five_tries_in_four_hours(counts: None, app: APIFlask) -> None:
    attack(addresses=20)
    assert guess(at("192.0.2.9", app), 6) == [401] * 5 + [429]
    assert throttle.begin(ALICE, "192.0.2.9").retry_after_s == pytest.approx(4 * 3600, abs=60)
    assert throttle.begin("bob@example.test", "192.0.2.9").retry_after_s == 0


@pytest.mark.parametrize(("addresses", "most"), [(1, 100), (10, 150), (60, 400)])
def test_so_many_guesses_at_one_account_are_looked_at_in_four_hours(app: APIFlask, addresses: int, most: int) -> None:
    """A hundred at the ordinary pace and five of each address, although each comes again as soon as it may."""
    app.extensions["sign_in_throttle"] = MemoryStorage(), MemoryStorage()  # these follow the clock that we set
    looked_at, started = 0, now()
    with time_machine.travel(started, tick=False) as clock:
        turns = [(0.0, f"192.0.2.{number}") for number in range(addresses)]
        while turns[0][0] < 4 * 3600:
            at_s, address = heapq.heappop(turns)
            clock.move_to(started + timedelta(seconds=at_s))
            wait = throttle.begin(ALICE, address).retry_after_s
            looked_at += not wait
            heapq.heappush(turns, (at_s + max(wait, 0.1), address))
    assert most / 4 < looked_at <= most


def test_right_passwords_from_many_new_browsers_are_no_attack(counts: None, app: APIFlask) -> None:
    for _ in range(throttle.ATTACKED_AFTER + 5):
        throttle.succeed(throttle.begin(ALICE, "192.0.2.1"))
    guess(at("192.0.2.2", app), throttle.PER_PAIR.free)
    assert throttle.begin(ALICE, "192.0.2.2").retry_after_s <= 1


def test_that_an_account_is_guessed_at_from_everywhere_does_not_concern_its_owners_own_browser(
    counts: None, app: APIFlask
) -> None:
    own = Visitor(app)
    own.sign_in(ALICE)
    own.post("/logout")
    attack(addresses=60)
    guess(Visitor(app), throttle.PER_PAIR.free)  # from the owner's own address, too
    assert Visitor(app).sign_in(ALICE).status_code == 429
    assert own.sign_in(ALICE).status_code == 303


def test_who_has_taken_a_browser_along_guesses_no_faster(app: APIFlask) -> None:
    own = Visitor(app)
    own.sign_in(ALICE)
    own.post("/logout")
    cookie = own.client.get_cookie("notifier_device", path="/login")
    assert cookie is not None
    known = tokens.read_device(cookie.value)
    assert known is not None
    assert guess(own, throttle.PER_DEVICE.free) == [401] * throttle.PER_DEVICE.free
    try_often(device=known.number)
    assert own.sign_in(ALICE).status_code == 429


def test_the_browser_of_one_account_is_a_strangers_for_another(visitor: Visitor, app: APIFlask) -> None:
    accounts.create_account("eve@example.test", PASSWORD, "person", "eve")
    visitor.sign_in("eve@example.test")
    visitor.post("/logout")
    try_often()
    assert visitor.sign_in(ALICE).status_code == 429


def test_an_office_with_many_wrong_passwords_is_answered_late_and_not_locked_out(app: APIFlask) -> None:
    for number in range(throttle.PER_ADDRESS.free + 5):
        throttle.begin(f"u{number}@example.test", "192.0.2.1")
    one = throttle.begin("somebody.else@example.test", "192.0.2.1")
    assert (one.retry_after_s, one.hold_s) == (0, 0.05)
    assert at("192.0.2.1", app).sign_in(ALICE).status_code == 303


class Crowd:
    """Tries at once, each on a thread of its own. Those that are looked at go on until `go_on` is set."""

    def __init__(self, app: APIFlask) -> None:
        self.app, self.pool, self.go_on = app, ThreadPoolExecutor(64), threading.Event()
        self.looked_at: queue.Queue[str] = queue.Queue()

    def come(self, email: str, address: str, device: str | None = None) -> "Future[int]":
        return self.pool.submit(self._try, email, address, device)

    def _try(self, email: str, address: str, device: str | None) -> int:
        with self.app.app_context(), throttle.attempt(email, address, device) as one:
            if not one.retry_after_s:
                self.looked_at.put(email)
                assert self.go_on.wait(60)
            return one.retry_after_s


@pytest.fixture
def crowd(app: APIFlask) -> Iterator[Crowd]:
    crowd = Crowd(app)
    yield crowd
    crowd.go_on.set()
    crowd.pool.shutdown()


def test_one_after_the_other_of_an_address_is_looked_at_and_nobody_else_waits_for_them(crowd: Crowd) -> None:
    crowd.come("first@example.test", "192.0.2.1")
    assert crowd.looked_at.get(timeout=60) == "first@example.test"
    others = [crowd.come(f"u{number}@example.test", "192.0.2.1") for number in range(10)]
    crowd.come(ALICE, "198.51.100.1")
    assert crowd.looked_at.get(timeout=60) == ALICE
    crowd.come("eve@example.test", "192.0.2.1", "her browser")
    assert crowd.looked_at.get(timeout=60) == "eve@example.test"
    assert crowd.looked_at.empty()
    crowd.go_on.set()
    assert [one.result(60) for one in others] == [0] * 10


def test_so_many_of_one_address_wait_at_once_and_the_others_come_again_uncounted(crowd: Crowd, app: APIFlask) -> None:
    first = [crowd.come(f"u{number}@example.test", "192.0.2.1") for number in range(throttle._MOST_WAITING + 4)]
    done, _ = wait(first, timeout=60, return_when=FIRST_COMPLETED)  # nobody is let through before they may go on
    assert {one.result() for one in done} == {throttle._BUSY_RETRY_S}
    assert crowd.come(ALICE, "192.0.2.1").result(60) == throttle._BUSY_RETRY_S
    crowd.go_on.set()
    assert Counter(one.result(60) for one in first) == {0: throttle._MOST_WAITING, throttle._BUSY_RETRY_S: 4}
    waits = [throttle.begin(ALICE, "192.0.2.1").retry_after_s for _ in range(throttle.PER_PAIR.free)]
    assert waits == [0] * throttle.PER_PAIR.free


def test_a_right_password_counts_against_nobody(visitor: Visitor, app: APIFlask) -> None:
    for _ in range(throttle.PER_ADDRESS.free + 5):
        one = throttle.begin(ALICE, "192.0.2.1")
        assert (one.retry_after_s, one.hold_s) == (0, 0)
        throttle.succeed(one)


def test_a_success_forgets_the_failures_of_that_account(visitor: Visitor, app: APIFlask) -> None:
    guess(visitor, throttle.PER_PAIR.free - 1)
    assert visitor.sign_in(ALICE).status_code == 303
    assert guess(Visitor(app), throttle.PER_PAIR.free - 1) == [401] * (throttle.PER_PAIR.free - 1)


@pytest.mark.parametrize(
    ("address", "hold_s"), [("2001:db8::ffff", 0.05), ("2001:db8:0:1::1", 0), ("::ffff:192.0.2.7", 0)]
)
def test_a_network_of_ipv6_counts_as_one_address(app: APIFlask, address: str, hold_s: float) -> None:
    for number in range(throttle.PER_ADDRESS.free):
        throttle.note_failure(f"2001:db8::{number:x}")
    assert throttle.begin("somebody.else@example.test", address).hold_s == hold_s


@pytest.mark.parametrize(("address", "is_free"), [("2001:db8:1:2::1", True), ("2001:db8:0:ffff::1", False)])
def test_at_one_account_a_whole_site_of_ipv6_has_the_tries_of_one_address(
    app: APIFlask, address: str, is_free: bool
) -> None:
    for number in range(throttle.PER_PAIR.free):
        throttle.begin(ALICE, f"2001:db8:0:{number:x}::1")
    assert (throttle.begin(ALICE, address).retry_after_s == 0) is is_free


def test_neither_e_mail_nor_address_stands_in_redis(visitor: Visitor) -> None:
    guess(visitor, 2)
    rates.may_ask_for_link(ALICE, "127.0.0.1")
    rates.may_send_link(ALICE)
    keys = b" ".join(redis_store.client.keys("throttle*"))
    assert keys
    assert (b"alice" in keys, b"127.0.0.1" in keys) == (False, False)


def test_without_redis_each_process_counts_for_itself(visitor: Visitor, redis_away: None) -> None:
    storage = sign_in_counts.storages()[1]
    for _ in range(12):
        throttle.begin(ALICE, "127.0.0.1")
        for key in [key for key in storage.storage if key.endswith("blocked")]:
            storage.clear(key)
    throttle.begin(ALICE, "127.0.0.1")
    with growth() as grown:
        assert visitor.sign_in(ALICE).status_code == 429
    assert grown["notifier_limits_unchecked_total{limit=sign_in}"] > 0


def test_of_many_tries_at_once_no_more_are_looked_at_than_one_after_the_other(app: APIFlask) -> None:
    """Each looks whether it has to wait before any of them has counted: what decides is the count."""
    waiting = threading.Barrier(throttle.PER_PAIR.free + 15)
    storage, _ = sign_in_counts.storages()

    class Slow:
        """The same counts; nobody counts before all have looked."""

        looked = threading.local()

        def __getattr__(self, name: str) -> Any:
            return getattr(storage, name)

        def incr(self, key: str, *rest: Any) -> int:
            if not getattr(self.looked, "done", False):
                self.looked.done = True
                waiting.wait(60)
            return storage.incr(key, *rest)

    app.extensions["sign_in_throttle"] = Slow(), MemoryStorage()

    def once(_: int) -> int:
        with app.app_context():
            return throttle.begin(ALICE, "192.0.2.1").retry_after_s

    with ThreadPoolExecutor(waiting.parties) as pool:
        waits = list(pool.map(once, range(waiting.parties)))
    assert waits.count(0) <= throttle.PER_PAIR.free


# --- what can be told from the work that is done


@pytest.mark.parametrize(
    "email", [ALICE, "nobody@example.test", "disabled@example.test", "linked@example.test", "not an e-mail", "\0"]
)
def test_the_same_work_is_done_for_every_wrong_password(
    visitor: Visitor, email: str, statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts.create_account("disabled@example.test", PASSWORD, "person", "dave")
    accounts.create_account("linked@example.test", None, "person", "lina")
    with transaction() as session:
        session.execute(sa.update(Account).where(Account.email == "disabled@example.test").values(disabled_at=now()))
    compared: list[str] = []
    verify = PasswordHasher.verify
    monkeypatch.setattr(
        PasswordHasher, "verify", lambda self, stored, given: compared.append(stored) or verify(self, stored, given)
    )
    token = visitor.csrf_token()
    with statements() as asked:
        assert (
            visitor.post("/login", {"email": email, "password": "wrong", "csrf_token": token}, token=False).status_code
            == 401
        )
    assert len(compared) == 1
    assert [text.split()[0] for text in asked if not text.startswith(("BEGIN", "ROLLBACK"))] == ["SELECT"]
