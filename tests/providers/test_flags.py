"""Flags of channels and providers: whom they let through, from the command to the claim."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from apiflask import APIFlask

from notifier.channels import serving
from notifier.core.errors import Rejected
from notifier.core.flags import is_in_rollout
from notifier.core.submission import InlineRecipient
from notifier.models import Flag
from notifier.pipeline.delivery.deliver import deliver
from notifier.pipeline.intake.item import Caller
from notifier.providers import accounts as providers
from notifier.providers import flags
from tests.running import free_port
from tests.stored import deliveries, rows

Submit = Callable[..., Any]
CROWD = [f"u{n}" for n in range(40)]


@pytest.fixture(autouse=True)
def _all_on_again(app: APIFlask) -> Iterator[None]:
    yield
    serving.registry().obey({})
    serving.registry().configure(())


def put(name: str, percentage: int) -> None:
    flags.put(name, percentage)
    providers.refresh_now()


def to(users: list[str]) -> list[InlineRecipient]:
    return [
        InlineRecipient(user, {"email": f"{user}@x.test", "phone": f"+491511234{n:04}"}) for n, user in enumerate(users)
    ]


def fates(channel: str) -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in deliveries(channel=channel)]


def test_a_channel_is_on_for_the_same_people_every_time(submit: Submit) -> None:
    put("email", 50)
    expected = [
        ("queued", None) if is_in_rollout("email", 50, user) else ("skipped", "not_in_rollout") for user in CROWD
    ]
    for _ in range(2):
        submit(*to(CROWD), channels=("email",))
    by_notification = sorted(fates("email"), key=str)
    assert by_notification == sorted(expected * 2, key=str)
    assert 0 < expected.count(("queued", None)) < len(CROWD)


def test_at_0_a_channel_is_off_and_cleared_it_is_on(submit: Submit, cast: Any) -> None:
    put("email", 0)
    submit("alice", channels=("email",))
    assert flags.clear("email")
    providers.refresh_now()
    submit("alice", channels=("email",))
    assert fates("email") == [("skipped", "channel_off"), ("queued", None)]


def test_a_mandatory_type_obeys_too(submit: Submit, cast: Any) -> None:
    put("email", 0)
    submit("alice", type="password_reset", data={"url": "https://x.test/reset"})
    assert fates("email") == [("skipped", "channel_off")]


def test_a_test_key_sees_whom_a_channel_is_on_for(submit: Submit, caller: Caller, cast: Any) -> None:
    put("email", 0)
    submit(
        "alice",
        channels=("email",),
        caller=Caller(caller.producer_id, is_test=True, may_be_urgent=True, types=None, request_id="req-1"),
    )
    assert fates("email") == [("skipped", "channel_off")]


def test_a_channel_switched_off_meanwhile_is_asked_about_before_the_send(submit: Submit, cast: Any) -> None:
    submit("alice", channels=("email", "inapp"))
    put("email", 0)
    deliver([row.id for row in deliveries(channel="email")])
    assert fates("email") == [("skipped", "channel_off")]


@pytest.fixture
def two_accounts(app: APIFlask) -> None:
    for position, name in enumerate(("main", "spare")):
        providers.add(name, "smtp", {"SMTP_URL": f"smtp://127.0.0.1:{free_port()}"}, position=position)
    providers.refresh_now()


def names(user: str) -> list[str]:
    return [
        adapter.name
        for adapter in serving.registry().adapters_for("email", f"{user}@x.test", is_test=False, user_id=user)
    ]


def test_an_account_is_on_for_some_and_the_next_serves_the_others(two_accounts: None) -> None:
    put("email:main", 50)
    assert [names(user) for user in CROWD] == [
        ["main", "spare"] if is_in_rollout("email:main", 50, user) else ["spare"] for user in CROWD
    ]


def test_when_no_account_is_left_the_channel_is_off_for_them(submit: Submit, two_accounts: None) -> None:
    put("email:main", 0)
    put("email:spare", 0)
    submit(*to(["u1"]), channels=("email",))
    deliver([row.id for row in deliveries()])
    assert fates("email") == [("skipped", "channel_off")]


def test_the_sandbox_has_no_flag(submit: Submit, two_accounts: None) -> None:
    put("email:main", 0)
    put("email:spare", 0)
    submit(InlineRecipient("eve", {"email": "delivered@sandbox.test"}), channels=("email",))
    deliver([row.id for row in deliveries()])
    assert fates("email") == [("delivered", None)]


BAD: dict[str, tuple[str, int, str]] = {
    "an unknown channel": ("pigeon", 10, "/name"),
    "an unknown account": ("email:nobody", 10, "/name"),
    "an account of another channel": ("sms:smtp", 10, "/name"),
    "less than none": ("email", -1, "/percentage"),
    "more than all": ("email", 101, "/percentage"),
    "an unknown channel, for everybody": ("pigeon", 100, "/name"),
}


@pytest.mark.parametrize(("name", "percentage", "pointer"), BAD.values(), ids=BAD)
def test_bad_flags_are_refused(app: APIFlask, name: str, percentage: int, pointer: str) -> None:
    with pytest.raises(Rejected) as refused:
        flags.put(name, percentage)
    assert ([fault.pointer for fault in refused.value.faults], rows(Flag)) == ([pointer], [])


def test_flags_are_listed_changed_and_cleared(app: APIFlask) -> None:
    for name, percentage in (("sms", 10), ("email:smtp", 0), ("sms", 25)):
        flags.put(name, percentage)
    assert flags.listing() == {"email:smtp": 0, "sms": 25}
    assert (flags.clear("sms"), flags.clear("sms"), flags.listing()) == (True, False, {"email:smtp": 0})


def test_at_100_there_is_no_flag(app: APIFlask) -> None:
    flags.put("sms", 10)
    flags.put("sms", 100)
    assert (flags.listing(), flags.clear("sms")) == ({}, False)
