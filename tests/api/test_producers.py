"""The calling producer over the API: its limits, who may change them, and what they refuse."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access import keys, producer_limits
from notifier.core.segments import Price
from notifier.core.spend import Ceiling, parse_amount
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.target_lists import INSTALLATION, TargetList
from notifier.models import Address, AuditEntry, Producer, Subscription
from tests.conftest import Api
from tests.stored import rows

PATH = "/api/v1/producer"
TARGETS = ["*.example.com", "203.0.113.0/24"]


def limited_to(app: APIFlask, monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    listed = replace(app.extensions["settings"], webhook_targets=TargetList.parse(INSTALLATION, texts))
    monkeypatch.setitem(app.extensions, "settings", listed)


def test_targets_are_set_shown_and_lifted(api: Api) -> None:
    assert api.get(PATH).json["webhook_targets"] is None
    given = ["*.Example.com", "203.0.113.0/24", "203.0.113.0/24"]
    changed = api.patch(PATH, {"webhook_targets": given}).json
    assert changed["webhook_targets"] == ["203.0.113.0/24", "*.example.com"]
    assert api.get(PATH).json == changed
    assert api.patch(PATH, {}).json == changed
    assert api.patch(PATH, {"webhook_targets": None}).json["webhook_targets"] is None
    told = [row.after for row in rows(AuditEntry, action="producer.limits_set")]
    assert told == [{"webhook_targets": ["203.0.113.0/24", "*.example.com"]}, {"webhook_targets": None}]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"webhook_targets": ["https://hooks.test"]}, "/webhook_targets"),
        ({"webhook_targets": ["203.0.113.7/24"]}, "/webhook_targets"),
        ({"webhook_targets": ["x" * 300]}, "/webhook_targets/0"),
        ({"webhook_targets": [f"h{i}.test" for i in range(101)]}, "/webhook_targets"),
        ({"webhook_targets": "hooks.test"}, "/webhook_targets"),
        ({"phone_countries": ["Germany"]}, "/phone_countries/0"),
        ({"phone_countries": ["XX"]}, "/phone_countries"),
        ({"daily_spend": "12.50"}, "/daily_spend"),  # no price is known
        ({"daily_spend": 12.5}, "/daily_spend"),
        ({"name": "Other"}, "/name"),
    ],
)
def test_what_is_no_limit_is_refused_by_its_pointer(api: Api, body: dict[str, Any], pointer: str) -> None:
    answer = api.patch(PATH, body)
    assert (answer.status_code, [one["pointer"] for one in answer.json["errors"]]) == (422, [pointer])
    assert db.session.scalars(sa.select(Producer.webhook_targets)).all() == [None]


def test_only_a_live_key_with_the_scope_admin_changes_limits(api: Api, app: APIFlask) -> None:
    producer = db.session.scalars(sa.select(Producer)).one()
    for scopes, is_test, status in ((("read",), False, 403), (("admin",), True, 403), (("admin",), False, 200)):
        _, key = keys.create_key(producer.id, scopes=scopes, is_test=is_test)
        assert Api(app.test_client(), key).patch(PATH, {"webhook_targets": []}).status_code == status


def test_money_and_countries_are_set_shown_and_lifted(api: Api, app: APIFlask, monkeypatch: pytest.MonkeyPatch) -> None:
    price = Price(Decimal("0.10"), "EUR")
    known = {"sms_segment_price": price, "voice_call_price": price, "phone_countries": frozenset({"DE"})}
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], **known))
    changed = api.patch(PATH, {"phone_countries": ["us", "DE"], "daily_spend": "12.5"}).json
    assert changed == api.get(PATH).json
    assert (changed["phone_countries"], changed["installation_phone_countries"]) == (["DE", "US"], ["DE"])
    assert changed["daily_spend"] == "12.50"
    assert changed["spend_today"] == {
        "day": now().date().isoformat(),
        "amount": "0.00",
        "limit": "12.50",
        "currency": "EUR",
    }


@pytest.mark.parametrize(
    ("of_all", "own", "wanted", "is_allowed"),
    [
        (None, None, "5", True),  # it is careful
        ("10", None, "10", True),
        ("10", None, "10.01", False),  # above the installation's
        ("10", None, None, True),  # as it is
        ("10", "5", "4", True),
        ("10", "5", "5", True),
        ("10", "5", "6", False),  # an admin has said 5
        ("10", "5", None, False),
        ("10", "20", "15", True),  # an admin has said 20
        ("10", "20", "21", False),
        (None, "5", "6", False),
        (None, "5", None, False),
    ],
)
def test_a_key_lowers_its_ceiling_and_never_raises_it(
    api: Api,
    app: APIFlask,
    monkeypatch: pytest.MonkeyPatch,
    of_all: str | None,
    own: str | None,
    wanted: str | None,
    is_allowed: bool,
) -> None:
    price = Price(Decimal("0.10"), "EUR")
    limit = None if of_all is None else Ceiling(parse_amount(of_all), "EUR")
    known = {"sms_segment_price": price, "voice_call_price": price, "spend_limit": limit}
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], **known))
    producer = db.session.scalars(sa.select(Producer.id)).one()
    producer_limits.change(producer, {"daily_spend": own})
    answer = api.patch(PATH, {"daily_spend": wanted})
    assert answer.status_code == (200 if is_allowed else 403)
    assert is_allowed or answer.json["errors"][0]["pointer"] == "/daily_spend"
    stored = db.session.scalar(sa.select(Producer.daily_spend))
    assert stored == (None if (said := wanted if is_allowed else own) is None else parse_amount(said))


def test_a_phone_in_another_country_is_no_address(
    api: Api, cast: Any, app: APIFlask, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = replace(app.extensions["settings"], phone_countries=frozenset({"DE"}))
    monkeypatch.setitem(app.extensions, "settings", limited)
    path = "/api/v1/users/dave/addresses"
    answer = api.post(path, {"channel": "sms", "value": "+14155552671"})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "country_not_allowed")
    assert api.post(path, {"channel": "sms", "value": "+4915112345678"}).status_code == 201


@pytest.mark.parametrize("whose", ["installation", "producer"])
def test_an_address_that_is_not_listed_is_refused_and_one_from_before_is_marked(
    api: Api, cast: Any, app: APIFlask, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    """At each door, with the list's name; nothing is stored."""
    people, hooks = "/api/v1/users/alice/addresses", "/api/v1/subscriptions"
    before = {"channel": "webhook", "value": "https://old.test/hook"}, {"url": "https://old.test/", "events": ["*"]}
    before[1]["events"] = ["delivery.*"]
    assert [api.post(people, before[0]).status_code, api.post(hooks, before[1]).status_code] == [201, 201]
    if whose == "producer":
        api.patch(PATH, {"webhook_targets": TARGETS})
    else:
        limited_to(app, monkeypatch, *TARGETS)
        assert set(api.get(PATH).json["installation_webhook_targets"]) == set(TARGETS)
    for path, body, pointer in [
        (people, {"channel": "webhook", "value": "https://198.51.100.1/"}, "/value"),
        (people, {"channel": "webhook", "value": "https://3325256705/"}, "/value"),
        (people, {"channel": "slack", "value": "https://[::ffff:8.8.8.8]/x"}, "/value"),
        (hooks, {"url": "https://8.8.8.8:8443/", "events": ["delivery.*"]}, "/url"),
    ]:
        answer = api.post(path, body)
        [fault] = answer.json["errors"]
        assert (answer.status_code, fault["pointer"]) == (422, pointer)
        assert fault["code"] in ("target_not_listed", "target_refused")
        assert fault["code"] == "target_refused" or f"{whose}'s list" in fault["message"]
    assert api.post(people, {"channel": "webhook", "value": "https://a.example.com/"}).status_code == 201
    assert api.post(people, {"channel": "slack", "value": "U012AB3CD"}).status_code == 201
    # What may lead into a listed network is told when it is connected to; without networks the name decides
    assert [one["left_out_by"] for one in api.get(people).json["data"] if one["channel"] == "webhook"] == [None, None]
    if whose == "producer":
        api.patch(PATH, {"webhook_targets": ["*.example.com"]})
    else:
        limited_to(app, monkeypatch, "*.example.com")
    marked = [one["left_out_by"] for one in api.get(people).json["data"] if one["channel"] == "webhook"]
    assert marked == [whose, None]
    assert [one["left_out_by"] for one in api.get(hooks).json["data"]] == [whose]
    answer = api.post(people, {"channel": "webhook", "value": "https://new.test/"})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "target_not_listed")
    [one] = api.get(hooks).json["data"]
    answer = api.patch(f"{hooks}/{one['id']}", {"url": "https://new.test/"})
    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "target_not_listed")
    db.session.rollback()
    count = sa.select(sa.func.count()).select_from(Address).where(Address.channel.in_(["webhook", "slack"]))
    assert (db.session.scalar(count), len(db.session.scalars(sa.select(Subscription)).all())) == (3, 1)
