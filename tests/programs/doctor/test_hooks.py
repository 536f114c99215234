"""What `doctor` says of the hooks of providers' accounts."""

import pytest
from apiflask import APIFlask

from notifier.programs.doctor.hooks import is_private
from notifier.providers import accounts
from notifier.signals import hook_health
from tests.programs.doctor.conftest import Doctor

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

OUTSIDE = {"PUBLIC_URL": "https://notify.example.com"}
KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEL+3TzCmjbNzfabhWkWFf+joXhTKivqyznohHrlT5CU7FhAXrb8AD72h5AUVRSHr5"
    "slbLks0eTBmK3jv3VzNoaw=="
)


@pytest.fixture
def mailer(app: APIFlask) -> None:
    options = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_FROM": "Shop <shop@example.com>", "SENDGRID_WEBHOOK_KEY": KEY}
    accounts.add("mailer", "sendgrid", options)


def said(doctor: Doctor, level: str, **changes: str) -> list[tuple[str, str | None]]:
    told = doctor("providers", **changes)
    assert told.code == 0
    return [(what, remedy) for _, found, what, remedy in told.findings if found == level and "mailer" in what]


@on_sqlite
def test_an_account_that_could_tell_more_is_named_and_is_no_fault(app: APIFlask, doctor: Doctor) -> None:
    accounts.add("mailer", "sendgrid", {"SENDGRID_API_KEY": "SG.x", "SENDGRID_FROM": "Shop <shop@example.com>"})
    assert said(doctor, "warning") == []
    assert (
        "mailer (SendGrid) sends without receipts; it could tell more with SENDGRID_WEBHOOK_KEY",
        None,
    ) in said(doctor, "ok")


@on_sqlite
def test_a_hook_that_fares_well_is_not_mentioned(mailer: None, doctor: Doctor) -> None:
    assert said(doctor, "warning", **OUTSIDE) == []


@on_sqlite
def test_calls_that_are_not_taken_are_told_with_the_reason_and_the_url(
    mailer: None, doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        hook_health.note_refused("mailer", "the signature is wrong", "refused")
    hook_health.note_refused("mailer", "the body is not JSON", "unreadable")
    hook_health.note_refused("mailer", "it is about another account", "misdirected")
    capsys.readouterr()  # the log
    hook = "https://notify.example.com/hooks/mailer"
    assert said(doctor, "warning", **OUTSIDE) == [
        (
            "the hook of mailer had 2 calls in the last 24 hours that were refused; the last one: the signature is"
            " wrong",
            f"Compare the secret with the provider's. The URL to enter there: {hook}",
        ),
        (
            "the hook of mailer had 1 call in the last 24 hours that was not readable; the last one: the body is not"
            " JSON",
            f"Have the provider send its receipts there and nothing else: {hook}",
        ),
        (
            "the hook of mailer had 1 call in the last 24 hours that was meant for another hook; the last one: it is"
            " about another account",
            f"Enter this URL at the provider for mailer alone: {hook}",
        ),
    ]


@on_sqlite
def test_receipts_are_expected_and_nobody_outside_can_call(mailer: None, doctor: Doctor) -> None:
    assert said(doctor, "warning", PUBLIC_URL="http://10.1.2.3:5000") == [
        (
            "no receipts can come from mailer: nobody outside can call PUBLIC_URL (http://10.1.2.3:5000)",
            "Set PUBLIC_URL to an address that providers can reach.",
        )
    ]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("192.168.0.9", True),
        ("fd00::1", True),
        ("100.64.0.1", True),
        ("notifier", True),
        ("notifier.internal", True),
        ("notify.example.com", False),
        ("9.9.9.9", False),
        ("2620:fe::fe", False),
    ],
)
def test_an_address_of_inside_is_told_by_its_looks(host: str, expected: bool) -> None:
    assert is_private(host) == expected
