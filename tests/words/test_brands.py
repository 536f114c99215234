"""Brands as they are stored: what is refused, who may differ, and what a batch asks of the database for them."""

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.catalogue.known import load_types
from notifier.core.brand import Brand
from notifier.core.errors import Rejected
from notifier.ground.extensions import db
from notifier.models import AuditEntry
from notifier.people.person import load_people
from notifier.words.brands import brands_of, cleaned, own_brand, set_brand
from notifier.words.compose import Wanted, put_into_words
from tests.stored import sent_statements

ACME = Brand("Acme", "https://acme.test/logo.png", "#2456d6", "1 Road\nTown")
_ALL = {"name": " Acme ", "logo": " https://acme.test/logo.png ", "accent": "#2456D6", "address": "1 Road\r\n Town "}


@pytest.mark.parametrize(
    ("typed", "field"),
    [
        ({"name": "x" * 61}, "name"),
        ({"name": ""}, "name"),
        *[
            ({"accent": text}, "accent")
            for text in ("red", "#fff", "#12345g", "#123456;x", "url(//x.test)", "#１23456")
        ],
        *[
            ({"logo": text}, "logo")
            for text in (
                "http://acme.test/l.png",
                "javascript:alert(1)",
                "data:image/png;base64,AAAA",
                "//acme.test/l.png",
                "https://",
                "https://user:word@acme.test/l.png",
                "https://acme.test/a b.png",
                "https://acme.test/\x01.png",
                "https://acme.test/" + "x" * 500,
            )
        ],
        ({"address": "x" * 301}, "address"),
        ({"address": "x\n" * 6 + "x"}, "address"),
    ],
    ids=repr,
)
def test_what_cannot_be_in_a_brand_is_refused_beside_its_field(typed: dict[str, str], field: str) -> None:
    with pytest.raises(Rejected) as refused:
        cleaned({**_ALL, **typed})
    assert [fault.pointer for fault in refused.value.faults] == [f"/{field}"]


@pytest.mark.parametrize(
    ("logo", "is_taken"),
    [
        ("http://localhost:5000/images/0a.png", True),
        ("http://localhost:5000/elsewhere.png", False),
        ("http://localhost:5000.evil.test/images/0a.png", False),
        ("http://localhost:5000@evil.test/images/0a.png", False),
        ("http://localhost/images/0a.png", False),
    ],
)
def test_an_image_of_the_installations_own_may_be_a_logo_without_tls(logo: str, is_taken: bool) -> None:
    """Or nobody who tries Notifier out could use one that they have uploaded."""
    typed = {"name": "Acme", "logo": logo}
    if is_taken:
        assert cleaned(typed, site_url="http://localhost:5000").logo == logo
        return
    with pytest.raises(Rejected):
        cleaned(typed, site_url="http://localhost:5000")


def test_what_was_typed_is_stored_clean() -> None:
    assert cleaned(_ALL) == Brand("Acme", "https://acme.test/logo.png", "#2456d6", "1 Road\n Town")
    assert cleaned(dict.fromkeys(_ALL, "")) == Brand()
    assert cleaned({**_ALL, "name": "A\nc\u202eme\x00"}).name == "A cme"


def test_a_producer_may_differ_and_each_change_is_audited(app: APIFlask) -> None:
    shop, other = create_producer("Shop").id, create_producer("Other").id
    set_brand(None, ACME, subject="installation")
    set_brand(shop, Brand(accent="#b42318"), subject="Shop")
    set_brand(shop, Brand(accent="#b42318"), subject="Shop")
    assert own_brand(shop) == Brand(accent="#b42318")
    assert brands_of([None, shop, other]) == {None: ACME, shop: Brand(accent="#b42318").over(ACME), other: ACME}
    entries = db.session.execute(
        sa.select(AuditEntry.subject, AuditEntry.before, AuditEntry.after)
        .where(AuditEntry.action == "brand.set")
        .order_by(AuditEntry.id)
    )
    assert [entry.subject for entry in entries] == ["installation", "Shop"]
    set_brand(shop, Brand(), subject="Shop")
    assert brands_of([shop]) == {shop: ACME}


def test_a_batch_asks_once_for_all_brands_and_only_for_mails(app: APIFlask, cast: dict[str, str]) -> None:
    producers = [create_producer(f"Shop {number}").id for number in range(3)]
    set_brand(None, ACME, subject="installation")
    set_brand(producers[0], Brand(name="Shop"), subject="Shop")
    alice = load_people(["alice"])["alice"]
    order = load_types(["order_shipped"])["order_shipped"]
    wanted = [Wanted("email", order, None, alice, {}, producer_id=id) for id in [*producers, None]]
    with sent_statements() as sent:
        contents = put_into_words(wanted)
        put_into_words(wanted)
    assert len([statement for statement in sent if "FROM brand" in statement]) == len(sent) == 1
    assert [("Shop\n1 Road" in content.body, "Acme\n1 Road" in content.body) for content in contents] == [
        (True, False),
        *[(False, True)] * 3,
    ]
    db.session.rollback()
    with sent_statements() as sent:
        put_into_words([Wanted("sms", order, None, alice, {}, producer_id=producers[0])])
    assert sent == []
