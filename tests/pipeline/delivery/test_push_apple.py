"""Mobile push through APNs, from the submission to what is recorded; hypercorn stands in for Apple's server."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from apiflask import APIFlask

from notifier.channels import serving
from notifier.core.message import ANDROID, IOS
from notifier.core.submission import InlineRecipient
from notifier.ground.clock import now
from notifier.models import Address
from notifier.people import addresses
from notifier.pipeline.delivery.deliver import deliver
from notifier.providers import accounts as providers
from tests.channels.conftest import Authority
from tests.channels.http2 import Http2Sink
from tests.channels.pushing import IPHONE, Apple
from tests.stored import deliveries, rows

Submit = Callable[..., Any]
OTHER = "ab" * 32


@pytest.fixture
def apple(app: APIFlask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Apple]:
    """APNs is the provider of push, and Apple answers on this machine."""
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sink = Http2Sink(authority)
    apple = Apple(sink)
    providers.add("apns", "apns", apple.account)
    providers.refresh_now()
    yield apple
    serving.registry().configure(())
    vars(serving.registry().http).pop("tls_http2", None)  # others trust another authority
    app.extensions.pop("providers", None)
    sink.close()


@pytest.fixture
def alice(submit: Submit) -> str:
    submit(InlineRecipient("alice", {"name": "Alice"}), channels=("inapp",))
    return "alice"


def phone(token: str = IPHONE, platform: str = IOS) -> None:
    addresses.add_given("alice", "push", token, label=None, platform=platform)


def push(submit: Submit) -> list[str]:
    submit("alice", channels=("push",))
    return [outcome.status for outcome in deliver([row.id for row in deliveries(status="queued", channel="push")])]


def test_an_iphone_is_reached_and_the_delivery_known_to_apple_by_its_own_key(
    submit: Submit, apple: Apple, alice: str
) -> None:
    phone()
    assert push(submit) == ["sent"]
    [delivery] = deliveries(channel="push")
    [request] = apple.sink.requests
    assert (request.path, UUID(request.headers["apns-id"])) == (f"/3/device/{IPHONE}", delivery.id)


def test_what_apple_does_not_serve_is_recorded_with_the_reason(submit: Submit, apple: Apple, alice: str) -> None:
    phone()
    phone("an-android-phone", ANDROID)
    assert push(submit) == ["sent"]
    assert sorted((row.status, row.reason) for row in deliveries(channel="push")) == [
        ("sent", None),
        ("skipped", "no_provider"),
    ]


@pytest.mark.parametrize(("ago", "is_off"), [(timedelta(hours=1), False), (timedelta(hours=-1), True)])
def test_a_dead_token_is_switched_off_only_if_it_is_older_than_apples_word(
    submit: Submit, apple: Apple, alice: str, ago: timedelta, is_off: bool
) -> None:
    phone()
    apple.refuses(410, "Unregistered", timestamp=int((now() - ago).timestamp() * 1000))
    assert push(submit) == ["failed"]
    [address] = rows(Address, channel="push")
    assert (address.disabled_at is not None) == is_off


def test_a_phone_that_has_enough_waits_and_no_other_does(submit: Submit, apple: Apple, alice: str) -> None:
    phone()
    phone(OTHER)
    apple.refuses(429, "TooManyRequests")
    assert sorted(push(submit)) == ["sent", "waiting"]
    assert push(submit).count("sent") == 1


def test_a_wrong_key_blames_no_phone(submit: Submit, apple: Apple, alice: str) -> None:
    phone()
    apple.refuses(403, "InvalidProviderToken")
    assert push(submit) == ["waiting"]
    [address] = rows(Address, channel="push")
    assert address.disabled_at is None
