"""Changing choices: one transaction, a version that rises, and a line in the consent history for each choice."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.choices import Switch
from notifier.core.errors import Rejected
from notifier.ground.extensions import db
from notifier.models import ConsentEvent, EventType, Preference
from notifier.people.preferences import change, switch, undo
from notifier.queries.preferences import document


def history(user_id: str) -> list[tuple[str, Any, Any, str]]:
    events = db.session.scalars(
        sa.select(ConsentEvent).where(ConsentEvent.user_id == user_id).order_by(ConsentEvent.id)
    )
    return [(event.change["choice"], event.change["from"], event.change["to"], event.source) for event in events]


def version(user_id: str) -> int | None:
    db.session.rollback()
    return db.session.scalar(sa.select(Preference.version).where(Preference.user_id == user_id))


def test_each_changed_choice_is_recorded_with_its_source(cast: Any) -> None:
    change("dave", {"channels": {"sms": True}, "types": {"like": {"push": False}}}, replace=False, source="page")
    change(
        "dave",
        {"channels": {"sms": None}, "types": {"like": {"push": False, "email": False}}, "held": "drop"},
        replace=False,
        source="api",
    )

    assert history("dave") == [
        ("channels.sms", None, True, "page"),
        ("types.like.push", None, False, "page"),
        ("channels.sms", True, None, "api"),
        ("held", None, "drop", "api"),
        ("types.like.email", None, False, "api"),
    ]


def test_only_choices_are_stored_never_defaults(cast: Any) -> None:
    assert (
        change(
            "dave",
            {"channels": {"sms": None}, "types": {"like": {}}, "quiet_hours": None, "caps": {}},
            replace=True,
            source="api",
        ).document
        == {}
    )
    assert (version("dave"), history("dave")) == (None, [])


def test_the_version_rises_with_every_change_and_with_nothing_else(cast: Any) -> None:
    versions = []
    for wish in ({"held": "drop"}, {"held": "drop"}, {"held": "wait"}, {"channels": {"sms": True}}):
        change("dave", wish, replace=False, source="api")
        versions.append(version("dave"))

    assert versions == [1, 1, 2, 3]


def test_a_switch_for_all_channels_replaces_those_for_single_ones(cast: Any) -> None:
    change("dave", {"types": {"like": {"push": True, "email": True}}}, replace=False, source="api")

    assert change("dave", {"types": {"like": False}}, replace=False, source="api").document == {
        "types": {"like": {"*": False}}
    }
    assert change("dave", {"types": {"like": {"push": True}}}, replace=False, source="api").document == {
        "types": {"like": {"*": False, "push": True}}
    }


def test_a_refused_change_leaves_everything_as_it_was(cast: Any) -> None:
    change("dave", {"held": "drop"}, replace=False, source="api")

    with pytest.raises(Rejected) as refused:
        change("dave", {"channels": {"sms": True, "pigeon": True}, "held": "burn"}, replace=True, source="api")

    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
        ("/channels/pigeon", "unknown_channel"),
        ("/held", "not_one_of"),
    ]
    assert (version("dave"), len(history("dave"))) == (1, 1)


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("9999-12-31T23:59:59-12:00", "9000-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "2000-01-01T00:00:00Z"),
        ("8999-12-31T23:59:59Z", "8999-12-31T23:59:59Z"),
    ],
)
def test_a_mute_ends_where_every_zone_has_a_calendar(cast: Any, given: str, stored: str) -> None:
    assert change("dave", {"mute_until": given}, replace=False, source="api").document == {"mute_until": stored}


def test_changes_at_once_are_all_kept(app: APIFlask, cast: Any) -> None:
    channels = ["inapp", "email", "sms", "push", "webpush", "webhook", "slack", "whatsapp"]
    start = threading.Barrier(len(channels))

    def switch(channel: str) -> None:
        with app.app_context():
            start.wait()
            change("dave", {"channels": {channel: False}}, replace=False, source="api")

    threads = [threading.Thread(target=switch, args=(channel,)) for channel in channels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    db.session.rollback()
    assert db.session.get(Preference, "dave").document == {"channels": dict.fromkeys(channels, False)}
    assert (version("dave"), len(history("dave"))) == (8, 8)


def test_the_lines_of_one_change_take_it_back(cast: dict[str, str]) -> None:
    first = change("dave", {"held": "drop", "types": {"like": {"email": True}}}, replace=False, source="page")
    second = switch("dave", [Switch(False, category="social")], ["email", "inapp"], source="page")
    assert second.document == {"held": "drop", "categories": {"social": {"*": False}}}
    assert first.events
    assert second.events
    assert undo("dave", second.events, source="page").document == first.document
    assert undo("dave", first.events, source="page").document == {}


def test_taking_back_leaves_what_was_chosen_meanwhile(cast: dict[str, str]) -> None:
    saved = change("dave", {"held": "drop", "types": {"like": {"email": False}}}, replace=False, source="page")
    change("dave", {"types": {"like": {"email": True}}}, replace=False, source="api")
    assert saved.events
    undone = undo("dave", saved.events, source="page")
    assert (undone.document, undone.left) == ({"types": {"like": {"email": True}}}, ("types.like.email",))


def test_nobody_takes_back_what_another_has_chosen(cast: dict[str, str]) -> None:
    saved = change("dave", {"held": "drop"}, replace=False, source="page")
    assert saved.events
    undo("carol", saved.events, source="page")
    assert change("dave", {}, replace=False, source="page").document == {"held": "drop"}


def test_taking_back_stands_in_the_history_as_well(cast: dict[str, str]) -> None:
    saved = change("dave", {"held": "drop"}, replace=False, source="link")
    assert saved.events
    undo("dave", saved.events, source="link")
    assert history("dave") == [("held", None, "drop", "link"), ("held", "drop", None, "link")]


def test_what_was_chosen_in_one_way_is_not_taken_back_in_another(cast: dict[str, str]) -> None:
    saved = change("dave", {"do_not_track": True}, replace=False, source="page")
    assert saved.events
    assert undo("dave", saved.events, source="embedded").document == {"do_not_track": True}


def test_what_the_product_alone_raises_is_no_choice(cast: dict[str, str]) -> None:
    internal = db.session.scalars(sa.select(EventType.key).where(EventType.is_internal)).first()
    assert internal
    with pytest.raises(Rejected) as refused:
        change("dave", {"types": {internal: {"email": False}}}, replace=False, source="api")
    assert [fault.code for fault in refused.value.faults] == ["unknown_type"]
    assert internal not in document("dave")["effective"]
