"""The preference page without JavaScript, which is the same forms with it."""

import html
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
import time_machine
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from notifier import catalogue
from notifier.access import accounts, sessions
from notifier.api.own_preferences import EMBEDDED
from notifier.core.submission import InlineRecipient
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import Account, Address, ConsentEvent, EventType, Notification, Preference, User
from notifier.people import preferences as choosing
from notifier.people import profiles
from notifier.queries.notifications import Sight
from notifier.queries.person_export import export
from notifier.queries.preferences import document
from notifier.web.person.preference_form import mute_in
from tests.conftest import link_of
from tests.web.conftest import PASSWORD, Visitor
from tests.web.person.preference_pages import form_of, undo_of

NOON = "2026-06-10T10:00:00Z"  # noon in Berlin
QUIET = {"start": "22:00", "end": "07:00", "days": [1, 2, 3, 4, 5, 6, 7]}


class Desk:
    """The page as alice has it before her: by a signed link, which spares a sign-in and is the same page."""

    def __init__(self, visitor: Visitor, url: str) -> None:
        self.visitor, self.url = visitor, url

    def page(self, query: str = "") -> str:
        return self.visitor.get(self.url + query).text

    def form(self, part: str) -> dict[str, Any]:
        return form_of(self.page(), part)

    def post(self, form: dict[str, Any], *, by_itself: bool = False) -> TestResponse:
        return self.visitor.post(self.url, form, token=False, headers={"HX-Request": "true"} if by_itself else {})

    def forget(self) -> None:
        choosing.change("alice", {}, replace=True, source="test")


@pytest.fixture
def desk(visitor: Visitor) -> Desk:
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"email": "alice@example.test"})])
    return Desk(visitor, f"/p/{tokens.sign_preferences(link_of('alice'))}")


@pytest.fixture
def alice(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in(user_id="alice")


def stored(user_id: str = "alice") -> dict[str, Any]:
    db.session.rollback()
    found = document(user_id)
    found.pop("effective")
    return found


def chosen(user_id: str = "alice") -> dict[str, Any]:
    """What differs from an untouched document."""
    untouched = {"held": "wait", "quiet_hours": None, "mute_until": None, "time_zone": None, "digest_at": "08:00"}
    untouched["do_not_track"] = False
    return {key: value for key, value in stored(user_id).items() if value not in ({}, untouched.get(key))}


# ---- switches


def test_sending_a_form_untouched_changes_nothing(desk: Desk) -> None:
    page = desk.page()
    for part in ("choices", "quiet", "often", "tracking"):
        answer = desk.post(form_of(page, part))
        assert (answer.status_code, answer.location.partition("#")[0]) == (303, f"{desk.url}?saved=same")
    assert chosen() == {}
    assert "Nothing has changed" in desk.page("?saved=same")


def test_one_switch_changes_one_choice(desk: Desk) -> None:
    form = desk.form("choices")
    form["on"].remove("like:email")
    form["on"].append("order_shipped:sms")
    desk.post(form)
    assert chosen() == {"types": {"like": {"email": False}, "order_shipped": {"sms": True}}}
    assert "like:email" not in desk.form("choices")["on"]


def test_a_switch_over_several_is_a_button_of_the_form(desk: Desk) -> None:
    untouched = desk.form("choices")
    for pressed, expected in (
        ("marketing:email=off", {"categories": {"marketing": {"email": False}}}),
        ("marketing:*=off", {"categories": {"marketing": {"*": False}}}),
        ("marketing:*=on", {}),  # it is on in part
        ("*:sms=on", {}),
        ("marketing:sms=on", {}),
        ("*:email=off", {"channels": {"email": False}}),
        ("*:voice=off", {}),
        ("*:*=off", {}),
        ("pigeons:email=off", {}),
        ("marketing:email=perhaps", {}),
        ("marketing:email", {}),
    ):
        desk.post({**untouched, "set": pressed})
        assert (pressed, chosen()) == (pressed, expected)
        desk.forget()


def test_a_switch_over_several_brings_back_what_is_on_by_default_and_nothing_else(desk: Desk) -> None:
    desk.post({"part": "choices", "set": "marketing:*=off"})
    page = desk.page()
    for id, offers in {"all-marketing": "marketing:*=on", "all-email": "*:email=off", "all-sms": None}.items():
        [button] = re.findall(rf'<button class="switch"[^>]* id="{id}"[^>]*>', page)
        assert (id, " disabled" in button) == (id, offers is None)
        assert offers is None or f'value="{offers}"' in button
    said = desk.visitor.get(desk.post({"part": "choices", "set": "marketing:*=on"}).location).text
    assert "Saved. Switched on: all marketing messages in the app, by e-mail, and by mobile push." in said
    assert {name for name in desk.form("choices")["on"] if name.endswith(":sms")} == set()


@pytest.mark.parametrize(
    ("before", "pressed", "said"),
    [
        (
            {},
            {"set": "marketing:*=off"},
            "Switched off: all marketing messages in the app, by e-mail, and by mobile push",
        ),
        ({}, {"set": "marketing:email=off"}, "Switched off: all marketing messages by e-mail"),
        (
            {"types": {"newsletter": {"email": False, "sms": True}}},
            {"set": "marketing:*=off"},
            "Switched off: Newsletter in the app, by SMS, and by mobile push; "
            "Promotional offer in the app, by e-mail, and by mobile push",
        ),
        (
            {"types": {"like": {"email": False}}},
            {"set": "social:email=off"},
            "Switched off: Comment and New follower by e-mail",
        ),
        ({}, {"shown": "like:email=1", "on": []}, "Switched off: Like by e-mail"),
        (
            {"types": {"newsletter": {"email": False}}},
            {"shown": ["like:email=1", "newsletter:email=0"], "on": "newsletter:email"},
            "Switched on: Newsletter by e-mail. Switched off: Like by e-mail",
        ),
    ],
    ids=["section", "section on a channel", "unequal ones", "some of a section", "one switch", "on and off"],
)
def test_what_was_switched_is_said_in_words(
    desk: Desk, before: dict[str, Any], pressed: dict[str, Any], said: str
) -> None:
    choosing.change("alice", before, replace=True, source="test")
    assert f"Saved. {said}." in desk.visitor.get(desk.post({"part": "choices", **pressed}).location).text


def test_single_switches_that_were_turned_before_are_not_lost(desk: Desk) -> None:
    form = desk.form("choices")
    form["on"].remove("like:email")
    desk.post({**form, "set": "marketing:email=off"})
    assert chosen() == {"types": {"like": {"email": False}}, "categories": {"marketing": {"email": False}}}


def test_a_switch_over_several_says_whether_they_agree(desk: Desk) -> None:
    words = {"true": "all on", "false": "all off", "mixed": "some on, some off"}
    for choices, expected in (
        ({}, {"all-marketing-email": "true", "all-marketing-sms": "false", "all-transactional": "mixed"}),
        (
            {"types": {"newsletter": {"email": False}}},
            {"all-marketing-email": "mixed", "all-email": "mixed", "all-social-email": "true"},
        ),
        ({"channels": {"email": False}}, {"all-email": "false"}),
        ({"channels": {"sms": True}}, {"all-transactional": "true", "all-sms": "true"}),
        # The switches that are shown on request have no say
        ({"types": {"newsletter": {"push": False}}}, {"all-marketing": "mixed"}),
        ({"categories": {"marketing": {"webhook": False}}}, {"all-marketing": "true"}),
    ):
        choosing.change("alice", choices, replace=True, source="test")
        page = desk.page()
        for id, state in expected.items():
            [button] = re.findall(rf'<button class="switch"[^>]* id="{id}"[^>]*>', page)
            assert (id, f'aria-checked="{state}"' in button, words[state] in button) == (id, True, True)


def test_channels_that_a_type_does_not_use_are_shown_on_request(desk: Desk) -> None:
    def more(page: str) -> set[str]:
        cells = re.findall(r'<div class="pref-cell is-more">(.*?)</div>', page, re.DOTALL)
        return {id for cell in cells for id in re.findall(r'<input[^>]* id="(newsletter-\w+)"', cell)}

    assert more(desk.page()) == {"newsletter-inapp", "newsletter-sms", "newsletter-push"}
    choosing.change("alice", {"types": {"newsletter": {"sms": True}}}, replace=True, source="test")
    assert more(desk.page()) == {"newsletter-inapp", "newsletter-push"}


def test_a_mandatory_cell_is_locked_on_the_page_and_at_the_server(desk: Desk) -> None:
    page = desk.page()
    form = form_of(page, "choices")
    assert "security_alert:email=1" not in form["shown"]
    assert "Always on for" in page
    form["shown"].append("security_alert:email=1")
    desk.post(form)
    desk.post({"part": "choices", "only": "security_alert:email"})
    assert chosen() == {}
    desk.post({"part": "choices", "set": "*:email=off"})
    db.session.rollback()
    effective = document("alice")["effective"]
    assert [effective[key]["email"]["enabled"] for key in ("security_alert", "one_time_code", "like")] == [
        True,
        True,
        False,
    ]


def test_types_for_admins_are_shown_to_admins_only(desk: Desk, signed_in: Callable[..., Visitor]) -> None:
    assert "fraud_alert" not in desk.page()
    assert "fraud_alert:inapp=1" in form_of(signed_in("admin").get("/preferences").text, "choices")["shown"]


@pytest.mark.parametrize(("locale", "days"), [("en", "Mon Tue Wed Thu Fri Sat Sun"), ("de", "Mo Di Mi Do Fr Sa So")])
def test_days_are_abbreviated_as_the_readers_language_does(desk: Desk, locale: str, days: str) -> None:
    with transaction():
        profiles.upsert([InlineRecipient("alice", {"locale": locale})])
    shown = re.findall(r'name="quiet_days".*?aria-hidden="true">(\w+)</span>', desk.page(), re.DOTALL)
    assert shown == days.split()


def test_each_type_says_in_the_readers_language_when_its_message_comes(desk: Desk) -> None:
    said = {entry.key: entry.descriptions for entry in catalogue.load() if not (entry.is_internal or entry.to_admins)}
    for locale in ("de", "fr"):
        with transaction():
            profiles.upsert([InlineRecipient("alice", {"locale": locale})])
        page = html.unescape(desk.page())
        assert [key for key, by_locale in said.items() if f">{by_locale[locale]}</p>" not in page] == []


def test_what_the_product_alone_raises_is_not_shown(desk: Desk) -> None:
    internal = db.session.scalars(sa.select(EventType.key).where(EventType.is_internal)).all()
    page = desk.page()
    assert internal
    assert [key for key in internal if f'id="row-{key}"' in page] == []


@pytest.fixture
def types_with_names_of_ours() -> Iterator[list[str]]:
    """Event types that are called like parts of the page."""
    names = ["arrival", "choices", "erase", "everything", "history", "main", "quiet", "social", "undo"]
    table = EventType.__table__
    with transaction() as session:
        like = dict(session.execute(sa.select(table).where(table.c.key == "like")).mappings().one())
        session.execute(sa.insert(table), [{**like, "key": name} for name in names])
    yield names
    with transaction() as session:
        session.execute(sa.delete(table).where(table.c.key.in_(names)))


def test_whatever_a_type_is_called_each_part_of_the_page_has_a_name_of_its_own(
    alice: Visitor, types_with_names_of_ours: list[str]
) -> None:
    page = alice.get("/preferences").text
    ids = re.findall(r'\sid="([^"]*)"', page)
    assert all(f"{name}-email" in ids for name in types_with_names_of_ours)
    assert sorted(ids) == sorted(set(ids))


def test_an_old_page_changes_only_what_was_touched_on_it(desk: Desk) -> None:
    old = desk.form("choices")
    choosing.change("alice", {"types": {"comment": {"email": False}}}, replace=False, source="another window")
    old["on"].remove("like:email")
    desk.post(old)
    assert chosen() == {"types": {"comment": {"email": False}, "like": {"email": False}}}


def test_each_switch_says_which_rule_decided(desk: Desk) -> None:
    for choices, sentence in (
        ({}, "On by default: you have not chosen."),
        ({"types": {"like": {"email": True}}}, "On: you chose it here."),
        ({"types": {"like": False}}, "Off: you chose it for this kind of message."),
        ({"categories": {"social": {"email": False}}}, "Off: you chose it for social messages by e-mail."),
        ({"categories": {"social": False}}, "Off: you chose it for all social messages."),
        ({"channels": {"email": True}}, "On: you chose it for everything by e-mail."),
    ):
        choosing.change("alice", choices, replace=True, source="test")
        assert re.findall(r'<span class="pref-why" id="like-email-why"[^>]*>([^<]*)<', desk.page()) == [sentence]


def test_what_differs_is_reset_beside_it(desk: Desk) -> None:
    choices = {"types": {"like": {"email": False}}, "categories": {"social": {"push": False}}}
    choosing.change("alice", choices, replace=True, source="test")
    assert re.findall(r'name="reset" value="([^"]*)"', desk.page()) == ["categories:social", "types:like"]
    desk.post({"part": "choices", "reset": "types:like"})
    assert chosen() == {"categories": {"social": {"push": False}}}
    desk.post({"part": "choices", "reset": "categories:social"})
    assert chosen() == {}
    assert 'name="reset"' not in desk.page()
    for unknown in ("types:nothing", "channels:email", "held:wait", ":"):
        desk.post({"part": "choices", "reset": unknown})
        assert chosen() == {}


# ---- saving by itself, and taking it back


def test_the_page_saves_what_was_touched_and_is_told_what_looks_different(desk: Desk) -> None:
    quiet = {
        "part": "quiet",
        "quiet": "1",
        "quiet_start": "22:00",
        "quiet_end": "07:00",
        "quiet_days": ["1"],
        "held": "drop",
    }
    for form, expected, parts in (
        ({"part": "choices", "only": "like:email"}, {"types": {"like": {"email": False}}}, {"choices"}),
        (
            {"part": "choices", "only": "-", "set": "social:*=off"},
            {"categories": {"social": {"*": False}}},
            {"choices"},
        ),
        ({"part": "mute", "mute": "hour"}, {"mute_until": "2026-06-10T11:00:00Z"}, {"mute-panel"}),
        ({"part": "often", "caps-social-day": "3"}, {"caps": {"social": {"day": 3}}}, {"often-panel"}),
        (quiet, {"quiet_hours": {**QUIET, "days": [1]}, "held": "drop"}, {"quiet-panel", "mute-panel", "often-panel"}),
        ({"part": "tracking", "do_not_track": ["0", "1"]}, {"do_not_track": True}, {"tracking-panel"}),
    ):
        with time_machine.travel(NOON, tick=False):
            answer = desk.post(form, by_itself=True)
            assert (answer.status_code, "Saved." in answer.text, "<html" in answer.text) == (200, True, False)
            assert set(re.findall(r'id="([\w-]+)"[^>]* hx-swap-oob', answer.text)) == parts
            assert chosen() == expected
            desk.post(undo_of(answer.text), by_itself=True)
            assert chosen() == {}


def test_a_switch_can_be_turned_there_and_back_on_one_page(desk: Desk) -> None:
    form = desk.form("choices")
    for on in (False, True):
        form["on"] = ["like:email"] if on else []
        desk.post({**form, "only": "like:email"}, by_itself=True)
        assert chosen() == {"types": {"like": {"email": on}}}


def test_without_javascript_the_page_says_what_was_saved_and_takes_it_back(desk: Desk) -> None:
    choosing.change("alice", {"types": {"newsletter": {"email": True}}}, replace=True, source="test")
    before = stored()
    saved = desk.post({**desk.form("choices"), "set": "marketing:email=off"}).location
    page = desk.visitor.get(saved).text
    assert saved.endswith("#marketing")
    assert "Saved. Switched off: all marketing messages by e-mail." in page
    undone = desk.post(undo_of(page)).location
    assert "Undone." in desk.visitor.get(undone).text
    assert stored() == before


def test_undo_is_honest_about_what_changed_meanwhile(desk: Desk) -> None:
    form = desk.form("choices")
    form["on"] = [name for name in form["on"] if name not in ("like:email", "comment:email")]
    page = desk.visitor.get(desk.post(form).location).text
    choosing.change("alice", {"types": {"like": {"email": True}}}, replace=False, source="another window")
    answer = desk.post(undo_of(page), by_itself=True)
    assert "except for what has been changed again since: Like by e-mail." in answer.text
    assert chosen() == {"types": {"like": {"email": True}}}
    assert "saved=partly" in desk.post(undo_of(page)).location


def test_an_old_address_says_nothing_of_saving(desk: Desk) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        saved = desk.post({"part": "choices", "only": "like:email"}).location
        assert "Undo</button>" in desk.visitor.get(saved).text
        clock.shift(3600)
        assert "Undo</button>" not in desk.visitor.get(saved).text


def test_what_names_no_change_takes_nothing_back(desk: Desk) -> None:
    choosing.change("alice", {"held": "drop"}, replace=True, source="test")
    for events in ("", "1", "x-y", "1-", "-1-2", "1-99999999999999999999", "١-٢"):
        assert desk.post({"part": "undo", "events": events}).status_code == 400
        assert desk.visitor.client.get(desk.url, query_string={"saved": events}).status_code == 200
    assert chosen() == {"held": "drop"}


def test_a_form_that_is_none_is_refused(desk: Desk) -> None:
    assert [desk.post(form).status_code for form in ({}, {"part": "everything"})] == [400, 400]


def test_a_field_that_was_not_sent_changes_nothing(desk: Desk) -> None:
    all_of_it = {
        "quiet_hours": QUIET,
        "held": "drop",
        "caps": {"social": {"day": 3}},
        "digest": {"social": "daily"},
        "digest_at": "09:00",
        "do_not_track": True,
    }
    choosing.change("alice", all_of_it, replace=True, source="test")
    before = stored()
    for part in ("choices", "quiet", "often", "mute", "tracking"):
        desk.post({"part": part})
    assert stored() == before


# ---- when, and how often


def test_quiet_hours_are_set_told_in_words_and_taken_away(desk: Desk) -> None:
    times = {
        "quiet": "1",
        "quiet_start": "21:30",
        "quiet_end": "06:15",
        "time_zone": "Europe/Berlin",
        "quiet_days": ["1", "5"],
    }
    desk.post({**desk.form("quiet"), **times})
    assert chosen() == {"quiet_hours": {"start": "21:30", "end": "06:15", "days": [1, 5]}, "time_zone": "Europe/Berlin"}
    assert (
        "From 9:30\u202fPM to 6:15\u202fAM (Europe/Berlin), nights that start on Monday and Friday, we hold everything "
        "but security alerts"
    ) in desk.page()
    form = desk.form("quiet")
    del form["quiet"]
    desk.post(form)
    assert chosen() == {"time_zone": "Europe/Berlin"}


def test_a_sentence_says_what_will_happen(desk: Desk) -> None:
    noon = {**QUIET, "start": "12:00", "end": "13:00"}
    night = (
        "From 10:00\u202fPM to 7:00\u202fAM (UTC), every night, we hold everything but security alerts, urgent "
        "messages and messages about your orders until morning."
    )
    for quiet, held, sentence in (
        (QUIET, "wait", night),
        (noon, "wait", "until 1:00\u202fPM."),
        ({**noon, "days": [7]}, "wait", "days that start on Sunday,"),
        (QUIET, "summary", "and send it as one summary when they end."),
        (QUIET, "drop", "we leave out everything but"),
        (None, "drop", "Off: messages reach you at any hour."),
    ):
        choosing.change("alice", {"quiet_hours": quiet, "held": held}, replace=True, source="test")
        assert sentence in desk.page()


def test_muting_counts_in_the_persons_own_zone(desk: Desk) -> None:
    choosing.change("alice", {"time_zone": "Europe/Berlin"}, replace=True, source="test")
    for choice, until in (
        ({"mute": "hour"}, "2026-06-10T11:00:00Z"),
        ({"mute": "tomorrow"}, "2026-06-11T06:00:00Z"),
        ({"mute": "date", "mute_date": "2026-06-20"}, "2026-06-19T22:00:00Z"),
    ):
        with time_machine.travel(NOON, tick=False):
            desk.post({"part": "mute", **choice})
            assert stored()["mute_until"] == until
            assert "Muted until" in desk.page()
            desk.post({"part": "mute", "mute": "off"})
            assert stored()["mute_until"] is None


@pytest.mark.parametrize("began", ["2026-10-25T00:30:00Z", "2026-03-29T00:30:00Z"])  # the clocks change within the hour
def test_an_hours_break_lasts_an_hour(began: str) -> None:
    at = datetime.fromisoformat(began).astimezone(ZoneInfo("Europe/Berlin"))
    [until] = mute_in(MultiDict({"mute": "hour"}), at).values()
    assert (until.timestamp() - at.timestamp()) / 3600 == 1


def test_summaries_and_caps_are_chosen_by_category(desk: Desk) -> None:
    desk.post(
        {
            **desk.form("often"),
            "digest-social": "daily",
            "digest_at": "09:30",
            "caps-social-day": "3",
            "caps-marketing-hour": "1",
        }
    )
    assert chosen() == {
        "digest": {"social": "daily"},
        "digest_at": "09:30",
        "caps": {"social": {"day": 3}, "marketing": {"hour": 1}},
    }
    form = desk.form("often")
    assert (form["digest-social"], form["caps-social-day"], form["caps-system-day"]) == (["daily"], ["3"], [""])
    desk.post({**form, "digest-social": "off", "caps-social-day": "", "caps-marketing-hour": "2"})
    assert chosen() == {"digest": {"social": "off"}, "digest_at": "09:30"}


def test_tracking_is_refused_and_allowed_again_by_one_switch(desk: Desk) -> None:
    desk.post({**desk.form("tracking"), "do_not_track": ["0", "1"]})
    assert chosen() == {"do_not_track": True}
    assert desk.form("tracking")["do_not_track"] == ["0", "1"]
    saved = desk.post({"part": "tracking", "do_not_track": "0"}, by_itself=True).text
    assert "Saved. Do not track what I open: on → off." in saved
    assert chosen() == {}


def test_it_says_which_mails_ask_for_what(desk: Desk) -> None:
    assert "None of our own e-mails asks for it at present." in desk.page()
    asked = {
        "like": (True, False),
        "newsletter": (False, True),
        "comment": (True, True),
        "password_reset": (True, True),
    }
    with transaction() as session:
        for key, (opens, clicks) in asked.items():
            session.execute(
                sa.update(EventType).where(EventType.key == key).values(tracks_opens=opens, tracks_clicks=clicks)
            )
    try:
        page = desk.page()
    finally:
        with transaction() as session:
            session.execute(sa.update(EventType).values(tracks_opens=False, tracks_clicks=False))
    assert "None of our own e-mails" not in page
    assert re.findall(r"<li>([^<]*: (?:whether|which)[^<]*)</li>", page) == [
        "Newsletter: which of its links you follow",
        "Comment: whether you open it, and which of its links you follow",
        "Like: whether you open it",
    ]


SENSELESS: list[tuple[dict[str, str], str, str]] = [
    ({"part": "mute", "mute": "date", "mute_date": "2020-01-01"}, "mute_date", "Choose a date in the future."),
    ({"part": "mute", "mute": "date"}, "mute_date", "Choose a date."),
    ({"part": "mute", "mute": "date", "mute_date": "soon"}, "mute_date", "Choose a date."),
    (
        {"part": "quiet", "quiet": "1", "quiet_start": "22:00", "quiet_end": "22:00", "quiet_days": "1"},
        "quiet_end",
        "different times",
    ),
    (
        {"part": "quiet", "quiet": "1", "quiet_start": "25:00", "quiet_end": "22:00", "quiet_days": "1"},
        "quiet_start",
        "22:00",
    ),
    (
        {"part": "quiet", "quiet": "1", "quiet_start": "22:00", "quiet_end": "07:00"},
        "quiet_days",
        "Choose at least one day.",
    ),
    (
        {"part": "quiet", "quiet": "1", "quiet_start": "22:00", "quiet_end": "07:00", "quiet_days": "9"},
        "quiet_days",
        "Days are 1",
    ),
    (
        {"part": "quiet", "quiet": "1", "quiet_start": "22:00", "quiet_end": "07:00", "quiet_days": "1" * 5_000},
        "quiet_days",
        "Choose at least one day.",
    ),
    ({"part": "quiet", "time_zone": "Mars/Olympus"}, "time_zone", "This is not a time zone"),
    ({"part": "quiet", "held": "burn"}, "held", "One of wait"),
    ({"part": "often", "caps-marketing-day": "6"}, "caps-marketing-day", "At most 5"),
    ({"part": "often", "caps-marketing-day": "0"}, "caps-marketing-day", "At least 1"),
    ({"part": "often", "caps-marketing-day": "-1"}, "caps-marketing-day", "Enter a whole number."),
    ({"part": "often", "caps-marketing-day": "9" * 40}, "caps-marketing-day", "Enter a whole number."),
    ({"part": "often", "digest-social": "yearly"}, "digest-social", "One of off"),
    ({"part": "often", "digest_at": "25:00"}, "digest_at", "22:00"),
]


@pytest.mark.parametrize("by_itself", [False, True], ids=["page", "part"])
def test_what_makes_no_sense_is_said_beside_its_field_and_nothing_stored(desk: Desk, by_itself: bool) -> None:
    for form, field, words in SENSELESS:
        answer = desk.post(form, by_itself=by_itself)
        assert answer.status_code == 422
        [said] = re.findall(rf'<p class="field-fault" id="fault-{field}">([^<]*)', answer.text)
        assert words in said
        assert f'aria-describedby="fault-{field}"' in answer.text
        assert "Nothing was changed." in answer.text
        assert ("<html" in answer.text) == (not by_itself)
    assert chosen() == {}


def test_what_was_refused_is_shown_again_as_it_was_sent(desk: Desk) -> None:
    sent = {
        "part": "quiet",
        "quiet": "1",
        "quiet_start": "20:15",
        "quiet_end": "20:15",
        "quiet_days": ["2", "3"],
        "held": "drop",
    }
    form = form_of(desk.post(sent).text, "quiet")
    assert {name: form[name] for name in ("quiet_start", "quiet_end", "quiet_days", "held")} == {
        "quiet_start": ["20:15"],
        "quiet_end": ["20:15"],
        "quiet_days": ["2", "3"],
        "held": ["drop"],
    }


# ---- signed in


def test_everybody_has_their_own(alice: Visitor, signed_in: Callable[..., Visitor]) -> None:
    assert signed_in(user_id="bob").post("/preferences", {"part": "quiet", "held": "drop"}).status_code == 303
    assert (chosen(), chosen("bob")) == ({}, {"held": "drop"})


def test_the_history_says_what_changed_when_and_by_which_way(signed_in: Callable[..., Visitor]) -> None:
    with time_machine.travel(NOON, tick=False):
        alice = signed_in(user_id="alice")
        choosing.change(
            "alice",
            {"time_zone": "Europe/Berlin", "types": {"like": {"email": False}}, "digest": {"social": "daily"}},
            replace=True,
            source="api",
        )
        alice.post("/preferences", {"part": "mute", "mute": "hour"})
        choosing.change("alice", {"types": {"follow": {"email": False}}}, replace=False, source=EMBEDDED)
        page = alice.get("/preferences").text
    history = re.sub(r"<[^>]+>", " ", page[page.index('id="history"') :])
    assert re.search("Jun 10, 2026, 12:00\u202fPM , by the service that notifies you", history)
    for line in (
        "Like by e-mail: on → off",
        "Social messages: One by one → Daily summary",
        "Muted until: not muted → Jun 10, 2026, 1:00\u202fPM",
    ):
        assert line in history
    assert "on this page" in history
    assert "in the settings of the service that notifies you" in history


def test_a_mute_to_the_end_of_the_calendar_leaves_the_page_readable(desk: Desk) -> None:
    """Also one that was stored, or is told in the history, from before such a time was brought nearer."""
    with transaction() as session:
        session.add(Preference(user_id="alice", document={"mute_until": "9999-12-31T23:59:59Z"}))
        change = {"choice": "mute_until", "from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
        session.add(ConsentEvent(user_id="alice", source="api", change=change, at=now()))
    for zone, year in (("Pacific/Kiritimati", "9000"), ("Pacific/Niue", "8999")):
        choosing.change("alice", {"time_zone": zone}, replace=False, source="test")
        assert year in desk.page()
    desk.post({"part": "mute", "mute": "date", "mute_date": "9999-12-31"})
    assert chosen()["mute_until"] == "9000-01-01T00:00:00Z"


def test_a_long_history_is_shown_in_full_on_request(alice: Visitor) -> None:
    for number in range(12):
        with time_machine.travel(datetime(2026, 6, 1, number, tzinfo=UTC), tick=False):
            choosing.change("alice", {"caps": {"social": {"day": number + 1}}}, replace=False, source="page")
    assert alice.get("/preferences").text.count("Most social messages in one day") == 8
    assert alice.get("/preferences?history=all").text.count("Most social messages in one day") == 12


def test_the_export_is_the_producers_one_with_everything_in_it(alice: Visitor, send: Callable[..., Any]) -> None:
    send("alice", channels=("inapp",))
    answer = alice.get("/preferences/export")
    with time_machine.travel(now() + sessions.PROVEN_FOR + timedelta(minutes=1)):
        asked = alice.get("/preferences/export")
    assert (asked.is_json, "Confirm" in asked.text) == (False, True)
    assert answer.headers["Content-Disposition"] == "attachment; filename=notifications-export.json"
    now_again = export("alice", Sight()) | {"exported_at": answer.json["exported_at"]}
    assert answer.json == now_again
    assert len(answer.json["notifications"]) == len(answer.json["inbox"]) == 1


def test_erasing_wants_the_address_typed_and_leaves_the_counts(alice: Visitor, send: Callable[..., Any]) -> None:
    send("alice", channels=("email",), email="alice@example.test")
    assert "there was one notification" in alice.get("/preferences").text
    for typed in ("", "bob@example.test"):
        refused = alice.post("/preferences/erase", {"confirm": typed})
        assert (refused.status_code, "Type alice@example.test to confirm." in refused.text) == (422, True)
        assert db.session.get(User, "alice") is not None
    answer = alice.post("/preferences/erase", {"confirm": " Alice@example.test "})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert "Your data has been erased" in alice.get("/login").text
    assert alice.get("/preferences").status_code == 302
    db.session.rollback()
    remaining = {
        table: db.session.scalar(sa.select(sa.func.count()).select_from(table))
        for table in (User, Account, Address, ConsentEvent, Notification)
    }
    assert remaining == {User: 0, Account: 0, Address: 0, ConsentEvent: 0, Notification: 1}
    assert db.session.scalar(sa.select(Notification.data)) is None


def test_who_runs_this_installation_is_not_erased(signed_in: Callable[..., Visitor]) -> None:
    visitor = signed_in("viewer")
    assert "so you cannot erase yourself" in visitor.get("/preferences").text
    answer = visitor.post("/preferences/erase", {"confirm": "viewer@example.test"})
    assert (answer.status_code, "so you cannot erase yourself" in answer.text) == (409, True)
    assert visitor.get("/preferences").status_code == 200


def test_nobody_is_erased_whose_other_sign_in_runs_this_installation(alice: Visitor) -> None:
    accounts.create_account("boss@example.test", PASSWORD, "admin", "alice")
    assert alice.post("/preferences/erase", {"confirm": "alice@example.test"}).status_code == 409
