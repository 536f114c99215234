"""The provider that people sign in with, and what is wrong with it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine
from apiflask import APIFlask

from notifier.access import accounts
from tests.openid import CLIENT, SECRET, Provider, serving
from tests.programs.doctor.conftest import Doctor, Told

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


@pytest.fixture
def acme() -> Iterator[Provider]:
    with serving(Provider()) as provider:
        yield provider


def asked(doctor: Doctor, acme: Provider, **other: str) -> Told:
    ours = {"OIDC_ISSUER": acme.issuer, "OIDC_CLIENT_ID": CLIENT, "OIDC_CLIENT_SECRET": SECRET}
    return doctor("sign-in", **{**ours, **other})


def test_without_one_there_is_nothing_to_check(app: APIFlask, doctor: Doctor) -> None:
    assert "sign-in: people sign in here by themselves (OIDC_ISSUER is not set)" in doctor("sign-in").of("ok")


WRONG: dict[str, tuple[Callable[[Provider], Any], str]] = {
    "nothing": (lambda p: None, ""),
    "away": (lambda p: p.__dict__.update(is_away=True), "cannot be reached"),
    "another": (lambda p: p.discovery.update(issuer="https://other.example"), "calls itself something else"),
    "no endpoints": (lambda p: p.discovery.update(token_endpoint=None), "does not say where to sign in"),
    "no keys": (lambda p: p.discovery.update(jwks_uri=f"{p.issuer}/userinfo"), "does not say what it is"),
    "algorithms": (lambda p: p.discovery.update(id_token_signing_alg_values_supported=["HS256"]), "signs with HS256"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_it_says_what_is_wrong_with_it(app: APIFlask, doctor: Doctor, acme: Provider, wrong: str) -> None:
    make, said = WRONG[wrong]
    make(acme)
    told = asked(doctor, acme)
    assert said in " ".join(told.of("fault"))
    assert bool(told.of("fault")) == bool(said)
    assert SECRET not in str(told.findings)


def test_a_clock_that_is_wrong_is_named(app: APIFlask, doctor: Doctor, acme: Provider) -> None:
    acme.date = "Mon, 30 Nov 2026 12:00:00 GMT"
    with time_machine.travel("2026-11-30T12:05:00Z", tick=False):
        [told] = asked(doctor, acme).of("fault")
    assert "-300 seconds apart from ours" in told


def test_accounts_for_emergencies_have_to_be_there(app: APIFlask, doctor: Doctor, acme: Provider) -> None:
    names = {"LOCAL_SIGN_IN": "root@example.test"}
    [told] = asked(doctor, acme, **names).of("fault")
    assert "LOCAL_SIGN_IN names no admin's account" in told
    accounts.create_account("root@example.test", None, "admin", "root")
    assert asked(doctor, acme, **names).of("fault") == []
