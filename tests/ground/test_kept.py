"""What hardly ever changes is read once and kept for a moment: a change holds soon, and what is new at once."""

import sqlalchemy as sa
from apiflask import APIFlask

from notifier.catalogue import types as event_types
from notifier.catalogue.known import load_types, load_wordings
from notifier.ground import kept
from notifier.ground.database import transaction
from notifier.ground.extensions import db
from notifier.models import EventType
from tests.stored import sent_statements as statements


class Shelf:
    """A source that notes what it is asked for."""

    def __init__(self, **values: int) -> None:
        self.values, self.asked = values, list[set[str]]()

    def read(self, keys: set[str]) -> dict[str, int]:
        self.asked.append(keys)
        return {key: self.values[key] for key in keys if key in self.values}


def grow_old(app: APIFlask) -> None:
    """As if LIFE_S had passed."""
    for known in app.extensions["kept"].values():
        for key, (at, value) in known.items():
            known[key] = (at - kept.LIFE_S, value)


def test_only_what_is_not_known_is_asked_for(app: APIFlask) -> None:
    shelf = Shelf(a=1, b=2)
    assert kept.kept("shelf", ["a"], shelf.read) == {"a": 1}
    assert kept.kept("shelf", ["a", "b", "a"], shelf.read) == {"a": 1, "b": 2}
    assert kept.kept("shelf", ["a", "b"], shelf.read) == {"a": 1, "b": 2}
    assert shelf.asked == [{"a"}, {"b"}]


def test_what_is_not_there_is_asked_for_again(app: APIFlask) -> None:
    shelf = Shelf()
    assert kept.kept("shelf", ["a"], shelf.read) == {}
    shelf.values["a"] = 1
    assert kept.kept("shelf", ["a"], shelf.read) == {"a": 1}


def test_a_change_holds_when_the_moment_has_passed(app: APIFlask) -> None:
    shelf = Shelf(a=1)
    kept.kept("shelf", ["a"], shelf.read)
    shelf.values["a"] = 2
    assert kept.kept("shelf", ["a"], shelf.read) == {"a": 1}
    grow_old(app)
    assert kept.kept("shelf", ["a"], shelf.read) == {"a": 2}


def test_kinds_are_kept_apart(app: APIFlask) -> None:
    assert [kept.kept(kind, ["a"], Shelf(a=value).read) for kind, value in (("one", 1), ("other", 2))] == [
        {"a": 1},
        {"a": 2},
    ]


def test_the_second_batch_asks_for_no_types_and_templates(app: APIFlask) -> None:
    names = ["order_shipped", "like", "order_shipped@1"]
    first = (load_types(names[:2]), load_wordings(names))
    db.session.close()
    with statements() as sent:
        second = (load_types(names[:2]), load_wordings(names))
    assert sent == []
    assert second == first
    assert first[1]["order_shipped"] == first[1]["order_shipped@1"]


def test_a_type_belongs_to_no_session(app: APIFlask) -> None:
    kind = load_types(["like"])["like"]
    assert sa.inspect(kind).transient
    db.session.close()
    assert (kind.key, kind.category) == ("like", "social")


def test_who_changes_a_type_sees_it_at_once_and_other_processes_soon(app: APIFlask) -> None:
    before = load_types(["like"])["like"]
    fields = {name: getattr(before, name) for name in event_types.FIELDS}
    try:
        event_types.put("like", {**fields, "titles": {"en": "Applause"}})
        assert load_types(["like"])["like"].titles == {"en": "Applause"}
        with transaction() as session:  # another process
            session.execute(sa.update(EventType).where(EventType.key == "like").values(titles={"en": "Cheers"}))
        assert load_types(["like"])["like"].titles == {"en": "Applause"}
        grow_old(app)
        assert load_types(["like"])["like"].titles == {"en": "Cheers"}
    finally:
        event_types.put("like", fields)
