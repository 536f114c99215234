"""Preferences as producers set and see them."""

from typing import Any

import pytest

PREFERENCES = "/api/v1/users/dave/preferences"
NOTHING_CHOSEN = {
    "channels": {},
    "categories": {},
    "types": {},
    "quiet_hours": None,
    "mute_until": None,
    "held": "wait",
    "digest": {},
    "digest_at": "08:00",
    "caps": {},
    "do_not_track": False,
    "time_zone": None,
}
EVERYTHING = {
    "channels": {"sms": False},
    "categories": {"marketing": {"email": False}},
    "types": {"order_shipped": {"push": True}},
    "quiet_hours": {"start": "22:00", "end": "07:00", "days": [1, 2, 3, 4, 5, 6, 7]},
    "mute_until": "2030-01-01T00:00:00Z",
    "held": "drop",
    "digest": {"social": "daily"},
    "digest_at": "18:30",
    "caps": {"marketing": {"day": 3}},
    "do_not_track": True,
    "time_zone": "Europe/Berlin",
}


def shown(response: Any) -> dict[str, Any]:
    body = dict(response.json)
    body.pop("effective")
    return body


def test_without_a_choice_everything_stands_at_its_default(api: Any, cast: Any) -> None:
    assert shown(api.get(PREFERENCES)) == NOTHING_CHOSEN
    assert {
        name: cell["enabled"] for name, cell in api.get(PREFERENCES).json["effective"]["order_shipped"].items()
    } == {
        "inapp": True,
        "email": True,
        "push": True,
        "webpush": True,
        "webhook": True,
        "slack": True,
        "teams": True,
        "discord": True,
        "telegram": True,
        "apprise": True,
        "sms": False,
        "whatsapp": False,
        "voice": False,
    }


def test_put_replaces_and_patch_merges(api: Any, cast: Any) -> None:
    assert shown(api.put(PREFERENCES, EVERYTHING)) == EVERYTHING
    merged = api.patch(
        PREFERENCES,
        {"channels": {"voice": True, "sms": None}, "types": {"order_shipped": {"email": False}}, "quiet_hours": None},
    )
    assert shown(merged) == EVERYTHING | {
        "channels": {"voice": True},
        "types": {"order_shipped": {"push": True, "email": False}},
        "quiet_hours": None,
    }
    assert shown(api.put(PREFERENCES, {"held": "summary"})) == NOTHING_CHOSEN | {"held": "summary"}
    assert shown(api.get(PREFERENCES)) == NOTHING_CHOSEN | {"held": "summary"}


def test_what_get_answers_can_be_put_back(api: Any, cast: Any) -> None:
    api.put(PREFERENCES, EVERYTHING)
    answer = api.get(PREFERENCES).json

    assert api.put(PREFERENCES, answer).json == answer


def test_the_grid_says_what_is_on_and_which_choice_says_so(api: Any, cast: Any) -> None:
    choices = {
        "channels": {"sms": True, "email": False},
        "categories": {"social": False, "marketing": {"push": False}},
        "types": {"like": {"inapp": True}, "order_delayed": False},
    }

    grid = api.put(PREFERENCES, choices).json["effective"]

    def cell(key: str, channel: str) -> tuple[bool, str]:
        return grid[key][channel]["enabled"], grid[key][channel]["because"]

    assert cell("like", "inapp") == (True, "type_channel")
    assert cell("like", "push") == (False, "category")
    assert cell("order_delayed", "sms") == (False, "type")
    assert cell("promotional_offer", "push") == (False, "category_channel")
    assert cell("order_shipped", "email") == (False, "channel")
    assert cell("order_shipped", "voice") == (False, "default")
    assert cell("security_alert", "email") == (True, "mandatory")
    assert cell("security_alert", "voice") == (False, "default")


BAD: dict[str, tuple[Any, set[tuple[str, str]]]] = {
    "an unknown field": ({"sound": True}, {("/sound", "unknown_field")}),
    "an unknown channel": ({"channels": {"pigeon": True}}, {("/channels/pigeon", "unknown_channel")}),
    "an unknown category": ({"categories": {"gossip": False}}, {("/categories/gossip", "unknown_category")}),
    "an unknown type": ({"types": {"order_lost": False}}, {("/types/order_lost", "unknown_type")}),
    "an unknown channel of a type": (
        {"types": {"like": {"pigeon": True}}},
        {("/types/like/pigeon", "unknown_channel")},
    ),
    "a choice that is a text": ({"channels": {"sms": "off"}}, {("/channels/sms", "wrong_type")}),
    "a choice that is a number": ({"channels": {"sms": 0}}, {("/channels/sms", "wrong_type")}),
    "quiet hours of no length": (
        {"quiet_hours": {"start": "22:00", "end": "22:00"}},
        {("/quiet_hours/end", "zero_length")},
    ),
    "quiet hours without an end": ({"quiet_hours": {"start": "22:00"}}, {("/quiet_hours/end", "missing")}),
    "quiet hours at no hour": (
        {"quiet_hours": {"start": "25:00", "end": "07:00"}},
        {("/quiet_hours/start", "invalid_time")},
    ),
    "quiet hours with seconds": (
        {"quiet_hours": {"start": "22:00:30", "end": "07:00"}},
        {("/quiet_hours/start", "invalid_time")},
    ),
    "quiet hours with a zone": (
        {"quiet_hours": {"start": "22:00", "end": "07-01"}},
        {("/quiet_hours/end", "invalid_time")},
    ),
    "quiet hours on no day": (
        {"quiet_hours": {"start": "22:00", "end": "07:00", "days": []}},
        {("/quiet_hours/days", "too_short")},
    ),
    "quiet hours on an eighth day": (
        {"quiet_hours": {"start": "22:00", "end": "07:00", "days": [8]}},
        {("/quiet_hours/days/0", "too_large")},
    ),
    "a naive mute": ({"mute_until": "2030-01-01T00:00:00"}, {("/mute_until", "invalid_time")}),
    "an unknown way to hold": ({"held": "burn"}, {("/held", "not_one_of")}),
    "an unknown frequency": ({"digest": {"social": "yearly"}}, {("/digest/social", "not_one_of")}),
    "a summary of an unknown category": ({"digest": {"gossip": "daily"}}, {("/digest/gossip", "unknown_category")}),
    "a summary at no hour": ({"digest_at": "24:30"}, {("/digest_at", "invalid_time")}),
    "tracking refused with a word": ({"do_not_track": "yes"}, {("/do_not_track", "wrong_type")}),
    "a summary at an hour with a zone": ({"digest_at": "22+01"}, {("/digest_at", "invalid_time")}),
    "a summary at an hour after a letter": ({"digest_at": "T2200"}, {("/digest_at", "invalid_time")}),
    "a summary at a number": ({"digest_at": 8}, {("/digest_at", "wrong_type")}),
    "a negative cap": ({"caps": {"marketing": {"day": -1}}}, {("/caps/marketing/day", "invalid_cap")}),
    "a cap of true": ({"caps": {"marketing": {"day": True}}}, {("/caps/marketing/day", "invalid_cap")}),
    "a cap per year": ({"caps": {"marketing": {"year": 5}}}, {("/caps/marketing/year", "unknown_field")}),
    "a cap of an unknown category": ({"caps": {"gossip": {"day": 5}}}, {("/caps/gossip", "unknown_category")}),
    "a cap of an unknown channel": (
        {"caps": {"marketing": {"channels": {"pigeon": {"day": 1}}}}},
        {("/caps/marketing/channels/pigeon", "unknown_channel")},
    ),
    "an unknown zone": ({"time_zone": "Mars/Olympus"}, {("/time_zone", "unknown_time_zone")}),
    "two faults at once": (
        {"channels": {"pigeon": True}, "caps": {"marketing": {"hour": -1}}},
        {("/channels/pigeon", "unknown_channel"), ("/caps/marketing/hour", "invalid_cap")},
    ),
}


@pytest.mark.parametrize("method", ["put", "patch"])
def test_bad_choices_are_named_and_change_nothing(
    api: Any, cast: Any, count_rows: Any, method: str, subtests: pytest.Subtests
) -> None:
    for case, (body, faults) in BAD.items():
        with subtests.test(case=case):
            before = count_rows()

            response = getattr(api, method)(PREFERENCES, body)

            told = {(fault["pointer"], fault["code"]) for fault in response.json["errors"]}
            assert (response.status_code, told) == (422, faults)
            assert count_rows() == before
            assert shown(api.get(PREFERENCES)) == NOTHING_CHOSEN


@pytest.mark.parametrize("method", ["get", "put", "patch"])
def test_nobody_has_no_preferences(api: Any, cast: Any, method: str) -> None:
    assert getattr(api, method)("/api/v1/users/nobody/preferences", None if method == "get" else {}).status_code == 404


@pytest.mark.parametrize(
    ("given", "reason"), [({}, "digested"), ({"expires_in": 60}, "expired")], ids=["by default", "as its producer says"]
)
def test_what_goes_into_a_summary_expires_only_if_its_producer_says_so(
    api: Any, cast: Any, given: dict[str, Any], reason: str
) -> None:
    api.patch("/api/v1/users/alice/preferences", {"digest": {"social": "weekly"}})
    answer = api.post(
        "/api/v1/notifications", {"type": "like", "recipients": ["alice"], "data": {"actor": "mira"}, **given}
    ).json
    assert {d["reason"] for d in answer["notifications"][0]["deliveries"] if d["channel"] != "push"} == {reason}
