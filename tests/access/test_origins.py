"""The lists of sites whose pages may use a producer's tokens."""

from datetime import timedelta

import pytest
import time_machine
from apiflask import APIFlask

from notifier.access import keys, origins
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.models import Producer

HERE = "http://localhost/"


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        (" https://Shop.Example/ ", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(text: str, origin: str) -> None:
    assert origins.parse(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "any",
            "*",
            "null",
            "shop.example",
            "//shop.example",
            "ftp://shop.example",
            "https://",
            "https://shop.example/inbox",
            "https://shop.example?a",
        ),
        *(
            "https://shop.example#a",
            "https://user@shop.example",
            "https://shop.example:99999",
            "https://shop.example:x",
            "https://*.shop.example",
            "https://a b",
        ),
        *("javascript:alert(1)", "https://[::1", "https://" + "a" * 64 + ".example"),
    ],
)
def test_what_is_no_origin_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not an origin"):
        origins.parse(text)


def test_a_list_is_changed_and_lifted_and_a_wrong_one_changes_nothing(app: APIFlask) -> None:
    shop = keys.create_producer("Shop").id
    assert origins.may_use("https://a.example", shop, HERE)
    origins.limit(shop, ["https://b.example/", "https://b.example"])
    assert [origins.may_use(f"https://{name}.example", shop, HERE) for name in "ab"] == [False, True]
    with pytest.raises(ValueError, match="is not an origin"):
        origins.limit(shop, ["https://a.example", "nonsense"])
    assert db.session.get_one(Producer, shop, populate_existing=True).allowed_origins == ["https://b.example"]
    origins.limit(shop, None)
    assert origins.may_use("https://a.example", shop, HERE)


def test_what_another_process_changed_is_noticed_in_seconds(app: APIFlask) -> None:
    shop = keys.create_producer("Shop", allowed_origins=["https://a.example"]).id
    assert not origins.may_use("https://b.example", shop, HERE)
    db.session.get_one(Producer, shop).allowed_origins = ["https://b.example"]
    db.session.commit()
    assert not origins.may_use("https://b.example", shop, HERE)
    with time_machine.travel(now() + timedelta(seconds=origins.CACHED_S)):
        assert origins.may_use("https://b.example", shop, HERE)
