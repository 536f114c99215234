"""Passkeys: what a device has to answer, and what no answer is."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from apiflask import APIFlask

from notifier.access import accounts, passkeys, recovery_codes, second_factor, sessions
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Account, AuditEntry, Passkey, PasskeyChallenge
from tests.access.test_second_factor import set_up
from tests.device import Device
from tests.stored import rows


@pytest.fixture
def account(app: APIFlask) -> Account:
    return accounts.create_account("ann@example.test", None, "admin", "ann")


def add(account: Account, device: Device | None = None, name: str = "Phone") -> tuple[Device, list[str]]:
    device = device or Device()
    options, challenge = passkeys.begin_adding(account)
    return device, passkeys.add(account.id, challenge, device.create(options), name, here="")


def answers(device: Device, account_id: UUID | None = None, **other: Any) -> UUID | None:
    options, challenge = passkeys.begin_using(account_id)
    return passkeys.use(challenge, device.get(options, **other))


def test_the_first_is_a_second_factor_with_recovery_codes_and_the_next_adds_none(account: Account) -> None:
    elsewhere = sessions.begin(account, "password")
    phone, codes = add(account)
    assert len(codes) == recovery_codes.COUNT
    assert sessions.find(elsewhere) is None
    assert add(account, name="Key")[1] == []
    assert [one.name for one in passkeys.of_account(account.id)] == ["Phone", "Key"]
    assert second_factor.use(account.id, codes[0])
    assert answers(phone) == account.id
    used = [one.used_at is not None for one in passkeys.of_account(account.id)]
    assert used == [True, False]
    assert "account.passkey_added" in [line.action for line in rows(AuditEntry)]


def test_options_ask_for_the_owner_and_for_no_attestation(account: Account) -> None:
    device, _ = add(account)
    options, _ = passkeys.begin_adding(account)
    [known] = passkeys.begin_using(account.id)[0]["allowCredentials"]
    assert options["rp"]["id"] == "localhost"
    assert options["attestation"] == "none"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert [one["id"] for one in options["excludeCredentials"]] == [known["id"]]
    assert passkeys.begin_using(None)[0]["allowCredentials"] == []  # strangers learn nothing
    assert json.loads(device.get(options))["id"] == known["id"]


BAD = {
    "origin": lambda device: replace(device, origin="http://localhost.evil.test"),
    "port": lambda device: replace(device, origin="http://localhost:8080"),
    "rp id": lambda device: replace(device, rp_id="evil.test"),
    "no verification": lambda device: replace(device, is_verified=False),
    "count of before": lambda device: replace(device, count=device.count - 1),
    "count gone back": lambda device: replace(device, count=0),
    "another key": lambda device: replace(device, key=Device().key),
    "unknown": lambda device: replace(device, credential_id=b"unknown"),
    "another user's": lambda device: replace(device, user_handle="AAAA"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_answer_proves_nothing(account: Account, bad: str) -> None:
    device, _ = add(account, Device(count=5))
    assert answers(device) == account.id
    assert answers(BAD[bad](device)) is None
    assert answers(device) == account.id


@pytest.mark.parametrize("bad", ["origin", "port", "rp id", "no verification"])
def test_nor_is_it_taken_up(account: Account, bad: str) -> None:
    with pytest.raises(Rejected):
        add(account, BAD[bad](Device()))
    assert rows(Passkey) == []
    assert rows(Account)[0].second_factor_at is None


@pytest.mark.parametrize(
    "answer",
    ["", "null", "[]", "{}", '{"id": 1}', "[" * 20_000, '{"id": "a", "rawId": "ä", "type": "public-key"}', "\0"],
)
def test_what_is_no_answer_is_refused_and_no_error(account: Account, answer: str) -> None:
    assert passkeys.use(passkeys.begin_using(None)[1], answer) is None
    with pytest.raises(Rejected):
        passkeys.add(account.id, passkeys.begin_adding(account)[1], answer, "Phone", here="")


@pytest.mark.parametrize("part", ["authenticatorData", "signature"])
@pytest.mark.parametrize("value", [b"", b"\0" * 37, b"\xff" * 400])
def test_broken_parts_prove_nothing(account: Account, part: str, value: bytes) -> None:
    device, _ = add(account)
    assert answers(device, **{part: value}) is None


def test_an_answer_works_once_and_for_its_challenge_alone(account: Account) -> None:
    device, _ = add(account, Device(counts=False))
    options, challenge = passkeys.begin_using(None)
    answer = device.get(options)
    _, other = passkeys.begin_using(None)
    assert passkeys.use(other, answer) is None
    assert [passkeys.use(challenge, answer) for _ in range(2)] == [account.id, None]
    for forged in (None, "", "AAAA", 5):
        assert passkeys.use(forged, answer) is None


def test_a_challenge_is_for_its_purpose_its_account_and_five_minutes(account: Account) -> None:
    device, _ = add(account)
    bob = accounts.create_account("bob@example.test", None, "person", "bob")
    options, challenge = passkeys.begin_adding(account)
    assert passkeys.use(challenge, device.get(options)) is None
    options, challenge = passkeys.begin_adding(bob)
    with pytest.raises(Rejected):
        passkeys.add(account.id, challenge, Device().create(options), "Phone", here="")
    assert answers(device, bob.id) is None  # bob has been asked for one of his
    with time_machine.travel(now(), tick=False) as clock:
        options, challenge = passkeys.begin_using(None)
        clock.shift(passkeys.LIFETIME + timedelta(seconds=1))
        assert passkeys.use(challenge, device.get(options)) is None
        passkeys.begin_using(None)
        clock.shift(passkeys.LIFETIME + timedelta(seconds=1))
        assert passkeys.prune() == 2
    assert rows(PasskeyChallenge) == []


def test_one_that_is_synchronised_does_not_count(account: Account) -> None:
    device, _ = add(account, Device(counts=False))
    assert [answers(device) for _ in range(2)] == [account.id, account.id]


def test_the_same_is_not_added_twice_nor_to_somebody_else(account: Account) -> None:
    device, _ = add(account)
    for somebody in (account, accounts.create_account("bob@example.test", None, "person", "bob")):
        with pytest.raises(Rejected, match="in use"):
            add(somebody, replace(device))
    assert len(rows(Passkey)) == 1
    assert [one.second_factor_at is not None for one in rows(Account)] == [True, False]


def test_an_account_has_so_many_at_most(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = passkeys.begin_adding(account)
    monkeypatch.setattr(passkeys, "MOST", 1)
    add(account)
    with pytest.raises(Rejected, match="as many"):
        passkeys.begin_adding(account)
    with pytest.raises(Rejected, match="as many"):  # begun at once in two windows
        passkeys.add(account.id, begun[1], Device().create(begun[0]), "Key", here="")
    assert len(rows(Passkey)) == 1


def remove_passkey(account: Account, here: str) -> None:
    assert passkeys.remove(account.id, rows(Passkey)[0].shown_id, here=here) == "Phone"


def remove_app(account: Account, here: str) -> None:
    assert second_factor.remove_app(account.id, here=here)


@pytest.mark.parametrize("order", [(remove_passkey, remove_app), (remove_app, remove_passkey)])
def test_the_second_factor_is_off_when_app_and_passkeys_are_gone(
    account: Account, order: tuple[Callable[[Account, str], None], ...]
) -> None:
    set_up(account.id)
    device, codes = add(account)
    assert codes == []  # those of the app are for both
    for number, remove in enumerate(order):
        here, elsewhere = sessions.begin(account, "password"), sessions.begin(account, "password")
        remove(account, here)
        db.session.rollback()
        is_on = number == 0
        assert (rows(Account)[0].second_factor_at is not None) == is_on
        assert recovery_codes.left(account.id) == (recovery_codes.COUNT if is_on else 0)
        assert (sessions.find(here) is not None, sessions.find(elsewhere)) == (True, None)
    assert answers(device) is None


def test_nobody_removes_somebody_elses(account: Account) -> None:
    add(account)
    bob = accounts.create_account("bob@example.test", None, "person", "bob")
    assert passkeys.remove(bob.id, rows(Passkey)[0].shown_id, here="") is None
    with pytest.raises(Rejected):
        passkeys.remove(bob.id, "psk_nonsense", here="")
    assert len(rows(Passkey)) == 1


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://notifier.example", "https://notifier.example"),
        ("https://Notifier.Example:443", "https://notifier.example"),
        ("https://notifier.example:8443", "https://notifier.example:8443"),
        ("http://localhost:5000", "http://localhost:5000"),
        ("http://notifier.example", None),
        ("http://127.0.0.1:5000", None),
        ("https://[::1]", None),
    ],
)
def test_they_are_for_names_reached_by_https_or_on_the_machine_itself(
    app: APIFlask, monkeypatch: pytest.MonkeyPatch, public_url: str, origin: str | None
) -> None:
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], public_url=public_url))
    assert passkeys.is_possible() == (origin is not None)
    if origin:
        assert passkeys._origin() == origin
