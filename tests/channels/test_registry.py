"""Which channels are on, and who sends what."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from notifier import channels
from notifier.channels import ADAPTERS, CHANNELS
from notifier.channels.adapters.email_smtp import EmailSmtp
from notifier.channels.adapters.push_fcm import Fcm
from notifier.channels.adapters.webpush_vapid import WebPush
from notifier.channels.contract import Adapter, Setting
from notifier.channels.serving import Account, Registry, faults
from notifier.core.facts import ChannelFacts
from notifier.core.message import ANDROID, IOS
from notifier.ground import metrics
from notifier.ground.config import BadSettings, Settings
from notifier.ground.encryption import KeyRing
from tests.channels.keys import service_account
from tests.metered import series

SMTP = {"SMTP_URL": "smtp://127.0.0.1:2525"}
PRODUCTION = {"NOTIFIER_ENV": "production", "SECRET_KEY": "x", "ENCRYPTION_KEYS": KeyRing.generate()}
NAMES = (
    *("inapp", "email", "sms", "push", "webpush", "webhook", "slack", "whatsapp", "voice"),
    *("teams", "discord", "telegram", "apprise"),
)
# Their addresses are all that is needed to send.
NEED_NOTHING = {"inapp", "webhook", "slack", "teams", "discord", "apprise"}


def registry(place: Path, **environment: str) -> Registry:
    return Registry(Settings.from_env({"NOTIFIER_HOME": str(place), **environment}))


@pytest.mark.parametrize(
    ("environment", "is_test", "channel", "address", "provider"),
    [
        ({}, False, "email", "alice@x.test", "sandbox"),
        (SMTP, False, "email", "alice@x.test", "smtp"),
        (SMTP, False, "email", "dead@sandbox.test", "sandbox"),
        (SMTP, True, "email", "alice@x.test", "sandbox"),
        (PRODUCTION, False, "email", "alice@x.test", None),
        (PRODUCTION, False, "email", "dead@sandbox.test", "sandbox"),
        (PRODUCTION, True, "email", "alice@x.test", "sandbox"),
        (PRODUCTION | SMTP, False, "email", "alice@x.test", "smtp"),
        ({}, False, "webhook", "https://x.test/", "webhook"),
        (PRODUCTION, False, "webhook", "https://x.test/", "webhook"),
        ({}, True, "webhook", "https://x.test/", "sandbox"),
        ({}, False, "sms", "+4915112345678", "sandbox"),
        (PRODUCTION, False, "sms", "+4915112345678", None),
        (PRODUCTION, False, "sms", "+15550100001", "sandbox"),
        ({}, False, "inapp", None, None),
        (PRODUCTION, False, "inapp", None, None),
        ({}, True, "inapp", None, "sandbox"),
    ],
)
def test_who_sends(
    environment: dict[str, str], is_test: bool, channel: str, address: str | None, provider: str | None, tmp_path: Path
) -> None:
    serving = registry(tmp_path, **environment).adapters_for(channel, address, is_test=is_test)
    assert [adapter.provider for adapter in serving] == ([provider] if provider else [])


@pytest.mark.parametrize(
    ("environment", "is_test", "on"),
    [
        ({}, False, set(NAMES)),
        (PRODUCTION, False, NEED_NOTHING),
        (PRODUCTION | SMTP, False, NEED_NOTHING | {"email"}),
        (PRODUCTION, True, set(NAMES)),
    ],
)
def test_which_channels_are_on(environment: dict[str, str], is_test: bool, on: set[str], tmp_path: Path) -> None:
    found = registry(tmp_path, **environment)
    assert {name for name in CHANNELS if found.is_on(name, is_test=is_test)} == on
    assert {name for name, facts in found.facts(is_test=is_test).items() if facts.is_on} == on


class _Apple(Fcm):
    """Sends to iPhones alone."""

    provider = "apple"
    settings = (Setting("APPLE_KEY", "any", example="x"),)

    @classmethod
    def serves(cls, platform: str | None) -> bool:
        return platform == IOS


@pytest.mark.parametrize(
    ("environment", "platform", "names"),
    [
        ({"FCM_SERVICE_ACCOUNT": service_account()}, IOS, ["fcm"]),
        ({"FCM_SERVICE_ACCOUNT": service_account()}, None, ["fcm"]),
        ({"APPLE_KEY": "k"}, IOS, ["apple"]),
        ({"APPLE_KEY": "k"}, ANDROID, []),
        ({"APPLE_KEY": "k"}, None, []),
        ({"APPLE_KEY": "k", "FCM_SERVICE_ACCOUNT": service_account()}, ANDROID, ["fcm"]),
        ({}, ANDROID, ["sandbox"]),
    ],
)
def test_a_device_is_sent_to_by_the_providers_of_its_platform(
    environment: dict[str, str],
    platform: str | None,
    names: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "ADAPTERS", (*channels.ADAPTERS, _Apple))
    found = registry(tmp_path, **environment)
    adapters = found.adapters_for("push", "t" * 20, is_test=False, platform=platform)
    assert [adapter.provider for adapter in adapters] == names
    assert (platform in found.facts()["push"].unserved) == (names == [])
    assert found.facts(is_test=True)["push"].unserved == frozenset()
    assert found.adapters_for("push", None, is_test=False) != []  # all of them, for who asks about the channel


def test_the_planner_is_told_how_each_channel_behaves(tmp_path: Path) -> None:
    one, every = ChannelFacts("", every_address=False), ChannelFacts("", every_address=True)
    off = replace(one, default_on=False)
    assert {name: replace(facts, name="") for name, facts in registry(tmp_path).facts().items()} == {
        "inapp": replace(one, needs_address=False, waits_when_quiet=False),
        "email": one,
        "sms": off,
        "push": every,
        "webpush": replace(every, follows="push"),
        "webhook": every,
        "slack": every,
        "whatsapp": off,
        "voice": off,
        "teams": every,
        "discord": every,
        "telegram": every,
        "apprise": every,
    }


@pytest.mark.parametrize(
    "environment",
    [{"SMTP_URL": "smtp://user:s3cret#@mail.test"}, {**SMTP, "SMTP_FROM": "nobody"}, {"SMTP_FROM": "nobody"}],
)
def test_an_adapter_that_makes_no_sense_of_its_settings_stops_the_start(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(BadSettings, match=r"SMTP_(URL|FROM)") as caught:
        registry(tmp_path, **environment)
    assert "s3cret" not in str(caught.value)


def test_what_is_wrong_with_the_settings_of_all_providers_is_told_at_once(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    told = faults({"SMTP_URL": "http://u:hunter2@h", "VAPID_KEY": "hunter2", "VAPID_CONTACT_FILE": str(absent)})
    assert [name for name in ("SMTP_URL", "VAPID_KEY", "VAPID_CONTACT_FILE") if not any(name in s for s in told)] == []
    assert "hunter2" not in str(told)
    assert faults(SMTP) == []


def test_prices_are_of_channels_that_have_none_of_their_own() -> None:
    told = faults({"MESSAGE_PRICES": "email 0.0004 EUR, pigeon 1 EUR, sms 1 EUR"})
    assert told == [
        "MESSAGE_PRICES: there is no channel pigeon",
        "MESSAGE_PRICES: sms has a price of its own, by the segment",
    ]


@pytest.mark.parametrize(
    "public_url",
    ["http://127.0.0.1:5000", "http://localhost:5000", "https://notifier.example.com", "http://[::1]:5000"],
)
def test_the_default_sender_is_one_for_every_public_url(public_url: str, tmp_path: Path) -> None:
    [found] = registry(tmp_path, **SMTP, PUBLIC_URL=public_url).adapters_for("email", "alice@x.test", is_test=False)
    assert isinstance(found, EmailSmtp)
    assert found.sender.address.startswith("notifier@")


@pytest.mark.parametrize(
    ("environment", "contact"),
    [
        ({}, "mailto:notifier@notifier.example"),
        ({"SMTP_FROM": "Shop <shop@shop.example>"}, "mailto:shop@shop.example"),
        ({"SMTP_FROM": "shop@shop.example", "NOTIFIER_ADMIN_EMAIL": "ann@x.example"}, "mailto:ann@x.example"),
    ],
)
def test_push_services_are_told_the_first_admin_or_else_the_sender_of_mails(
    environment: dict[str, str], contact: str, tmp_path: Path
) -> None:
    settings = Settings.from_env(
        {"NOTIFIER_HOME": str(tmp_path), "PUBLIC_URL": "https://notifier.example", **environment}
    )
    assert WebPush.options_here(settings, {})["VAPID_CONTACT"] == contact


def test_every_adapter_serves_a_known_channel() -> None:
    assert {adapter.channel.name: adapter.channel for adapter in ADAPTERS}.items() <= CHANNELS.items()


class Sealed(Adapter):
    channel = CHANNELS["sms"]
    provider = "sealed"
    settings = (Setting("SEALED_TOKEN", "token"), Setting("SEALED_KEY", "key", is_secret=True, make=lambda: "made"))


@pytest.mark.parametrize(
    ("environment", "is_begun", "missing"),
    [
        ({}, False, ["SEALED_TOKEN"]),
        ({"SEALED_TOKEN": "t"}, True, []),
        ({"SEALED_KEY": "mine"}, True, ["SEALED_TOKEN"]),
    ],
)
def test_a_setting_that_was_made_does_not_begin_an_account(
    environment: dict[str, str], is_begun: bool, missing: list[str], tmp_path: Path
) -> None:
    settings = Settings.from_env({"NOTIFIER_HOME": str(tmp_path), **environment})
    options = Sealed.options_here(settings, {"SEALED_KEY": "made"})
    assert (Sealed.is_begun(settings), Sealed.missing(options)) == (is_begun, missing)
    assert options["SEALED_KEY"] == environment.get("SEALED_KEY", "made")


def account(name: str, port: int, position: int = 0, weight: int = 1) -> Account:
    return Account(name, "smtp", {"SMTP_URL": f"smtp://127.0.0.1:{port}"}, position, weight)


def order(found: Registry) -> list[str]:
    return [adapter.name for adapter in found.adapters_for("email", "alice@x.test", is_test=False)]


def test_accounts_are_tried_in_the_order_of_their_positions(tmp_path: Path) -> None:
    found = registry(tmp_path, **SMTP)
    found.configure([account("last", 2527, position=5), account("first", 2526, position=-1)])
    assert order(found) == ["first", "smtp", "last"]


def test_equal_positions_share_by_weight(tmp_path: Path) -> None:
    found = registry(tmp_path)
    found.configure([account("heavy", 2526, weight=9), account("light", 2527, weight=1)])
    first = Counter(order(found)[0] for _ in range(2000))
    assert 1700 < first["heavy"] < 1900


def test_an_account_that_did_not_change_keeps_its_connections(tmp_path: Path) -> None:
    found = registry(tmp_path)
    found.configure([account("a", 2526), account("b", 2527)])
    before = {adapter.name: adapter for adapter in found.adapters_for("email", "x@x.test", is_test=False)}
    found.configure([account("a", 2526), account("b", 2528)])
    after = {adapter.name: adapter for adapter in found.adapters_for("email", "x@x.test", is_test=False)}
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]


def test_what_an_alert_waits_for_is_counted_from_0_for_each_account_and_each_channel(tmp_path: Path) -> None:
    """The first of a series that was not there is no increase."""
    registry(tmp_path).configure([account("counted", 2526)])
    name = "notifier_deliveries_total{{channel=email,outcome=unknown,provider={}}}"
    for account_name in ("counted", "email"):
        assert name.format(metrics.bounded("provider", account_name)) in series()


@pytest.mark.parametrize(
    ("broken", "told"),
    [(Account("x", "no-such", {}), "no-such"), (Account("x", "smtp", {"SMTP_URL": "smtp://hunter2@"}), "x")],
)
def test_an_account_that_cannot_be_used_is_named_and_not_quoted(broken: Account, told: str, tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=told) as refused:
        registry(tmp_path).configure([broken])
    assert "hunter2" not in str(refused.value)


def test_an_account_that_cannot_be_used_takes_no_other_with_it(tmp_path: Path) -> None:
    """Its adapter may be gone with an upgrade: a process that starts then must send by all the others."""
    found = registry(tmp_path)
    with pytest.raises(BadSettings) as refused:
        found.configure([account("a", 2526), Account("x", "no-such", {}), Account("y", "fcm", {}), account("b", 2527)])
    assert sorted(order(found)) == ["a", "b"]
    assert [fault.split(" cannot")[0] for fault in refused.value.faults] == ["The provider x"]


def test_browser_push_is_on_from_the_moment_its_key_is_made(tmp_path: Path) -> None:
    found = registry(tmp_path, **PRODUCTION)
    assert (found.is_on("webpush"), found.public_key("webpush")) == (False, None)
    found.use_made({"VAPID_KEY": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"})
    assert found.is_on("webpush")
    assert found.facts()["webpush"].is_on
    assert (
        found.public_key("webpush")
        == "BG_wO5SSQc4drdQ1GeaWDgqFtBppoFwygQOqK84VlMoWPE91OlW_AdxT9sCwx-7ni0DG_30lqW4igrmJzvccFEo"
    )


def test_the_key_of_the_environment_goes_before_the_one_that_was_made(tmp_path: Path) -> None:
    given = registry(tmp_path, VAPID_KEY="AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI")
    key = given.public_key("webpush")
    given.use_made({"VAPID_KEY": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"})
    assert key
    assert given.public_key("webpush") == key


def test_what_was_made_stays_when_other_accounts_are_taken_up(tmp_path: Path) -> None:
    found = registry(tmp_path)
    found.configure([account("one", 1)])
    found.use_made({"VAPID_KEY": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"})
    found.configure([*(a for a, _ in found.accounts() if a.name == "one"), account("two", 2)])
    assert {"one", "two", "webpush"} <= {adapter.name for _, adapter in found.accounts()}


def test_a_subscription_into_a_private_network_may_not_be_reached(tmp_path: Path) -> None:
    found = registry(tmp_path)
    reachable = {
        host: found.why_not("webpush", f'{{"endpoint":"https://{host}/x"}}', ()) is None
        for host in ("push.test", "10.0.0.1", "[::1]", "8.8.8.8")
    }
    assert reachable == {"push.test": True, "10.0.0.1": False, "[::1]": False, "8.8.8.8": True}
