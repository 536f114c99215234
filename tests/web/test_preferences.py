"""The preference page without JavaScript, which is the same form with it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import time_machine

from notifier.extensions import db
from notifier.pipeline import preferences as choosing
from notifier.queries.preferences import document
from tests.web.conftest import Visitor

NOON = "2026-06-10T10:00:00Z"  # noon in Berlin


def fields_of(page: str) -> dict[str, Any]:
    """What a browser would send of the page's form if nothing were touched."""
    form: dict[str, Any] = {"shown": re.findall(r'name="shown" value="([^"]+)"', page)}
    form["on"] = re.findall(r'name="on" value="([^"]+)"[^>]* checked', page)
    form["quiet_days"] = re.findall(r'name="quiet_days"[^>]*value="(\d)" checked', page)
    for name in ("quiet_start", "quiet_end"):
        [form[name]] = re.findall(rf'name="{name}"[^>]*value="([^"]+)"', page)
    for name in ("held", "mute", "time_zone"):
        select = re.search(rf'<select[^>]*name="{name}".*?</select>', page, re.DOTALL)
        assert select
        [form[name]] = re.findall(r'<option(?: value="([^"]+)")? selected>([^<]*)', select[0])
        form[name] = form[name][0] or form[name][1]
    if re.search(r'name="quiet" [^>]*checked', page):
        form["quiet"] = "1"
    return form


@pytest.fixture
def alice(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in(user_id="alice")


def stored() -> dict[str, Any]:
    db.session.rollback()
    found = document("alice")
    return {key: found[key] for key in ("channels", "categories", "types", "quiet_hours", "mute_until", "held", "time_zone")}


def test_sending_it_untouched_changes_nothing(alice: Visitor) -> None:
    form = fields_of(alice.get("/preferences").text)
    before = stored()
    answer = alice.post("/preferences", form)
    assert (answer.status_code, answer.location) == (303, "/preferences")
    assert stored() == {**before, "time_zone": "UTC"}
    assert "Your preferences are saved." in alice.get("/preferences").text


def test_one_switch_changes_one_choice(alice: Visitor) -> None:
    form = fields_of(alice.get("/preferences").text)
    form["on"].remove("like:email")
    form["on"].append("order_shipped:sms")
    alice.post("/preferences", form)
    assert stored()["types"] == {"like": {"email": False}, "order_shipped": {"sms": True}}
    assert "like:email" not in fields_of(alice.get("/preferences").text)["on"]


def test_a_mandatory_cell_is_locked_on_the_page_and_at_the_server(alice: Visitor) -> None:
    page = alice.get("/preferences").text
    assert "security_alert:email=1" not in fields_of(page)["shown"]
    assert "Always on by" in page
    form = fields_of(page)
    form["shown"].append("security_alert:email=1")
    alice.post("/preferences", form)
    assert stored()["types"] == {}
    assert document("alice")["effective"]["security_alert"]["email"] == {"enabled": True, "because": "mandatory"}


def test_types_for_admins_are_shown_to_admins_only(alice: Visitor, signed_in: Callable[..., Visitor]) -> None:
    assert "fraud_alert:inapp=1" not in fields_of(alice.get("/preferences").text)["shown"]
    assert "fraud_alert:inapp=1" in fields_of(signed_in("admin").get("/preferences").text)["shown"]


def test_a_field_that_was_not_sent_changes_nothing(alice: Visitor) -> None:
    choosing.change("alice", {"quiet_hours": {"start": "22:00", "end": "06:00"}, "held": "drop"}, replace=True, source="test")
    before = stored()
    alice.post("/preferences", {})
    assert stored() == before


def test_quiet_hours_are_set_told_in_words_and_taken_away(alice: Visitor) -> None:
    form = {
        **fields_of(alice.get("/preferences").text),
        "quiet": "1",
        "quiet_start": "21:30",
        "quiet_end": "06:15",
        "time_zone": "Europe/Berlin",
        "quiet_days": ["1", "5"],
    }
    alice.post("/preferences", form)
    assert stored()["quiet_hours"] == {"start": "21:30", "end": "06:15", "days": [1, 5]}
    page = alice.get("/preferences").text
    assert "From 21:30 to 06:15 (Europe/Berlin)" in page
    form = fields_of(page)
    del form["quiet"]
    alice.post("/preferences", form)
    assert stored()["quiet_hours"] is None


@pytest.mark.parametrize(
    ("choice", "until"),
    [
        ({"mute": "hour"}, "2026-06-10T11:00:00Z"),
        ({"mute": "tomorrow"}, "2026-06-11T06:00:00Z"),
        ({"mute": "date", "mute_date": "2026-06-20"}, "2026-06-19T22:00:00Z"),
    ],
)
def test_muting_counts_in_the_persons_own_zone(signed_in: Callable[..., Visitor], choice: dict[str, str], until: str) -> None:
    with time_machine.travel(NOON, tick=False):
        alice = signed_in(user_id="alice")
        alice.post("/preferences", {"time_zone": "Europe/Berlin", **choice})
        assert stored()["mute_until"] == until
        assert "Muted until" in alice.get("/preferences").text
        alice.post("/preferences", {"mute": "off"})
        assert stored()["mute_until"] is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"mute": "date", "mute_date": "2020-01-01"}, "still to come"),
        ({"mute": "date"}, "Choose a date"),
        ({"quiet": "1", "quiet_start": "22:00", "quiet_end": "22:00"}, "different times"),
        ({"quiet": "1", "quiet_start": "25:00", "quiet_end": "22:00"}, "22:00"),
        ({"time_zone": "Mars/Olympus"}, "time zone"),
        ({"held": "burn"}, "One of wait"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_stored(alice: Visitor, form: dict[str, str], words: str) -> None:
    before = stored()
    answer = alice.post("/preferences", form)
    assert answer.status_code == 422
    assert words in answer.text
    assert stored() == before


def test_an_old_page_changes_only_what_was_touched_on_it(alice: Visitor) -> None:
    old = fields_of(alice.get("/preferences").text)
    choosing.change("alice", {"types": {"comment": {"email": False}}}, replace=False, source="another window")
    old["on"].remove("like:email")
    alice.post("/preferences", old)
    assert stored()["types"] == {"comment": {"email": False}, "like": {"email": False}}


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        ("like:email", {"types": {"like": {"email": False}}}),
        ("quiet", {"quiet_hours": {"start": "22:00", "end": "07:00", "days": [1, 2, 3, 4, 5, 6, 7]}, "held": "drop", "time_zone": "UTC"}),
        ("mute", {"mute_until": "2026-06-10T11:00:00Z"}),
        ("security_alert:email", {}),
    ],
)
def test_the_page_saves_the_part_that_was_touched(signed_in: Callable[..., Visitor], only: str, expected: dict[str, Any]) -> None:
    with time_machine.travel(NOON, tick=False):
        alice = signed_in(user_id="alice")
        form = fields_of(alice.get("/preferences").text)
        before = stored()
        form["on"] = []
        answer = alice.post("/preferences", {**form, "quiet": "1", "held": "drop", "mute": "hour", "only": only}, headers={"HX-Request": "true"})
        assert answer.status_code == 200
        assert "Saved" in answer.text
        assert "<html" not in answer.text
        assert stored() == {**before, **expected}


def test_a_switch_can_be_turned_there_and_back_on_one_page(alice: Visitor) -> None:
    form = fields_of(alice.get("/preferences").text)
    for on in (False, True):
        form["on"] = ["like:email"] if on else []
        alice.post("/preferences", {**form, "only": "like:email"}, headers={"HX-Request": "true"})
        assert stored()["types"] == {"like": {"email": on}}


def test_what_the_page_cannot_save_it_is_told(alice: Visitor) -> None:
    answer = alice.post("/preferences", {"only": "mute", "mute": "date", "mute_date": "2020-01-01"}, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert "still to come" in answer.text
    assert "<html" not in answer.text


def test_everybody_has_their_own(alice: Visitor, signed_in: Callable[..., Visitor]) -> None:
    signed_in(user_id="bob").post("/preferences", {"held": "drop"})
    assert stored()["held"] == "wait"
