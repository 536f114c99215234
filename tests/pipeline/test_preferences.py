"""Changing choices: one transaction, a version that rises, and a line in the consent history for each choice."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.core.errors import Rejected
from notifier.extensions import db
from notifier.models import ConsentEvent, Preference
from notifier.pipeline.preferences import change


def history(user_id: str) -> list[tuple[str, Any, Any, str]]:
    events = db.session.scalars(sa.select(ConsentEvent).where(ConsentEvent.user_id == user_id).order_by(ConsentEvent.id))
    return [(event.change["choice"], event.change["from"], event.change["to"], event.source) for event in events]


def version(user_id: str) -> int | None:
    db.session.rollback()
    return db.session.scalar(sa.select(Preference.version).where(Preference.user_id == user_id))


def test_each_changed_choice_is_recorded_with_its_source(cast: Any) -> None:
    change("dave", {"channels": {"sms": True}, "types": {"like": {"push": False}}}, replace=False, source="page")
    change("dave", {"channels": {"sms": None}, "types": {"like": {"push": False, "email": False}}, "held": "drop"}, replace=False, source="api")

    assert history("dave") == [
        ("channels.sms", None, True, "page"),
        ("types.like.push", None, False, "page"),
        ("channels.sms", True, None, "api"),
        ("held", None, "drop", "api"),
        ("types.like.email", None, False, "api"),
    ]


def test_only_choices_are_stored_never_defaults(cast: Any) -> None:
    assert change("dave", {"channels": {"sms": None}, "types": {"like": {}}, "quiet_hours": None, "caps": {}}, replace=True, source="api") == {}
    assert (version("dave"), history("dave")) == (None, [])


def test_the_version_rises_with_every_change_and_with_nothing_else(cast: Any) -> None:
    versions = []
    for wish in ({"held": "drop"}, {"held": "drop"}, {"held": "wait"}, {"channels": {"sms": True}}):
        change("dave", wish, replace=False, source="api")
        versions.append(version("dave"))

    assert versions == [1, 1, 2, 3]


def test_a_switch_for_all_channels_replaces_those_for_single_ones(cast: Any) -> None:
    change("dave", {"types": {"like": {"push": True, "email": True}}}, replace=False, source="api")

    assert change("dave", {"types": {"like": False}}, replace=False, source="api") == {"types": {"like": {"*": False}}}
    assert change("dave", {"types": {"like": {"push": True}}}, replace=False, source="api") == {"types": {"like": {"*": False, "push": True}}}


def test_a_refused_change_leaves_everything_as_it_was(cast: Any) -> None:
    change("dave", {"held": "drop"}, replace=False, source="api")

    with pytest.raises(Rejected) as refused:
        change("dave", {"channels": {"sms": True, "pigeon": True}, "held": "burn"}, replace=True, source="api")

    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [("/channels/pigeon", "unknown_channel"), ("/held", "not_one_of")]
    assert (version("dave"), len(history("dave"))) == (1, 1)


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
