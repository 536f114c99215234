"""Producers and keys in the console: made, shown once, rotated, revoked."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from apiflask import APIFlask

from notifier.access.keys import KeyIdentity, create_key, create_producer, find_key
from notifier.ground.clock import now
from notifier.ground.extensions import db
from notifier.ground.ids import show
from notifier.models import ApiKey, AuditEntry, Producer
from tests.web.conftest import Visitor, seen_in

_KEY = re.compile(r'id="new-key" readonly value="([^"]+)"')


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


@pytest.fixture
def shop(app: APIFlask) -> str:
    return f"/admin/producers/{show('prd', create_producer('Shop').id)}"


def new_key(admin: Visitor, shop: str, **form: Any) -> str:
    found = _KEY.search(admin.post(f"{shop}/keys", {"kind": "live", "scopes": ["notify"], "life": "", **form}).text)
    assert found
    return found[1]


def found_key(plain: str) -> KeyIdentity | None:
    db.session.rollback()
    return find_key(plain)


def keys() -> list[ApiKey]:
    db.session.rollback()
    return list(db.session.scalars(sa.select(ApiKey).order_by(ApiKey.id).execution_options(populate_existing=True)))


def test_a_producer_is_made_once(admin: Visitor) -> None:
    assert "/admin/producers/prd_" in admin.post("/admin/producers", {"name": " Shop "}).location
    again = admin.post("/admin/producers", {"name": "shop"})
    assert (again.status_code, "There is already a producer with this name" in again.text) == (422, True)


@pytest.mark.parametrize(
    "name", ["", "  ", "x" * 201, "a\0b", "a\nb"], ids=["empty", "blank", "long", "nul", "of two lines"]
)
def test_a_name_that_cannot_be_is_refused(admin: Visitor, name: str) -> None:
    assert admin.post("/admin/producers", {"name": name}).status_code == 422
    assert db.session.scalar(sa.select(sa.func.count()).select_from(Producer)) == 0


def test_a_key_works_is_shown_once_and_kept_nowhere(admin: Visitor, shop: str) -> None:
    answer = admin.post(
        f"{shop}/keys", {"kind": "test", "scopes": ["notify", "read"], "types": ["order_shipped"], "life": "30"}
    )
    found = _KEY.search(answer.text)
    assert found
    plain = found[1]
    assert answer.headers["Cache-Control"] == "no-store"
    identity = found_key(plain)
    assert identity is not None
    assert (identity.is_test, identity.scopes, identity.types) == (True, {"notify", "read"}, {"order_shipped"})
    assert identity.expires_at is not None
    assert abs(identity.expires_at - now() - timedelta(days=30)) < timedelta(minutes=5)
    for page in (shop, "/admin/producers", "/admin/audit"):
        assert plain not in admin.get(page).text
    assert plain not in str([(entry.subject, entry.after) for entry in db.session.scalars(sa.select(AuditEntry))])


@pytest.mark.parametrize(
    "form",
    [{"scopes": []}, {"scopes": ["everything"]}, {"kind": "other"}, {"types": ["nope"]}, {"life": "31"}],
    ids=["nothing", "scope", "kind", "type", "life"],
)
def test_a_key_that_cannot_be_is_refused(admin: Visitor, shop: str, form: dict[str, Any]) -> None:
    assert admin.post(f"{shop}/keys", {"kind": "live", "scopes": ["notify"], "life": "", **form}).status_code == 422
    assert keys() == []


def test_a_key_is_limited_to_networks_and_its_successor_too_unless_told(admin: Visitor, shop: str) -> None:
    plain = new_key(admin, shop, networks="203.0.113.0/24\r\n2001:db8::/32, 198.51.100.7")
    identity = found_key(plain)
    assert identity is not None
    assert [str(network) for network in identity.networks or ()] == [
        "203.0.113.0/24",
        "2001:db8::/32",
        "198.51.100.7/32",
    ]
    page = admin.get(f"{shop}/keys/{show('key', keys()[0].id)}").text
    assert "203.0.113.0/24\n2001:db8::/32\n198.51.100.7/32</textarea>" in page
    assert "only from 203.0.113.0/24" in admin.get(shop).text
    admin.post(f"{shop}/keys/{show('key', keys()[0].id)}/rotate", {"overlap": "24", "networks": "203.0.113.0/24"})
    admin.post(f"{shop}/keys/{show('key', keys()[1].id)}/rotate", {"overlap": "24", "networks": ""})
    assert [key.networks for key in keys()[1:]] == [["203.0.113.0/24"], None]


def test_what_is_no_network_is_said_beside_its_field(admin: Visitor, shop: str) -> None:
    new_key(admin, shop)
    rotate = f"{shop}/keys/{show('key', keys()[0].id)}/rotate"
    for path, form in (
        (f"{shop}/keys", {"kind": "live", "scopes": ["notify"], "life": ""}),
        (rotate, {"overlap": "24"}),
    ):
        answer = admin.post(path, {**form, "networks": "203.0.113.7/24"})
        assert (answer.status_code, 'id="networks-fault">203.0.113.7/24 is an address inside' in answer.text) == (
            422,
            True,
        )
    assert len(keys()) == 1


def test_it_is_shown_when_a_key_was_used_last(admin: Visitor, shop: str) -> None:
    plain = new_key(admin, shop, scopes=["read"])
    assert [admin.get(path).text.count(">never<") for path in (shop, "/admin/producers")] == [1, 1]
    admin.get("/api/v1/types", headers={"Authorization": f"Bearer {plain}"})
    [used] = [key.last_used_at for key in keys()]
    assert used is not None
    for path in (shop, "/admin/producers"):
        assert f'datetime="{used.isoformat().replace("+00:00", "Z")}"' in admin.get(path).text


@pytest.mark.parametrize(("overlap", "works"), [("0", False), ("24", True)])
def test_rotating_makes_a_second_one_and_ends_the_first_in_time(
    admin: Visitor, shop: str, overlap: str, works: bool
) -> None:
    plain = new_key(admin, shop)
    found = _KEY.search(admin.post(f"{shop}/keys/{show('key', keys()[0].id)}/rotate", {"overlap": overlap}).text)
    assert found
    assert (found_key(plain) is not None, found_key(found[1]) is not None) == (works, True)
    old, new = keys()
    assert (old.scopes, new.expires_at) == (new.scopes, None)


@pytest.mark.parametrize(("life", "days"), [("", None), ("30", 30), ("365", 365)])
def test_a_new_key_is_made_for_as_long_as_the_old_one_was(
    admin: Visitor, shop: str, life: str, days: int | None
) -> None:
    """Unless somebody chooses something else."""
    new_key(admin, shop, life=life)
    page = f"{shop}/keys/{show('key', keys()[0].id)}"
    [offered] = re.findall(r'<option selected value="(\d*)">(?:Never|After)', admin.get(page).text)
    assert offered == life
    admin.post(f"{page}/rotate", {"overlap": "24", "life": offered})
    ends = keys()[1].expires_at
    assert (None if ends is None else round((ends - now()) / timedelta(days=1))) == days


def test_an_overlap_that_is_not_offered_changes_nothing(admin: Visitor, shop: str) -> None:
    new_key(admin, shop)
    for overlap in ("", "-1", "99999"):
        assert admin.post(f"{shop}/keys/{show('key', keys()[0].id)}/rotate", {"overlap": overlap}).status_code == 422
    assert len(keys()) == 1


def test_a_revoked_key_is_refused_and_cannot_be_rotated(admin: Visitor, shop: str) -> None:
    plain = new_key(admin, shop)
    where = f"{shop}/keys/{show('key', keys()[0].id)}"
    assert "Revoke ntf_live_" in admin.get(where).text
    admin.post(f"{where}/revoke")
    assert found_key(plain) is None
    assert admin.post(f"{where}/rotate", {"overlap": "24"}).status_code == 404
    admin.post(f"{where}/revoke")
    assert "It had already been revoked" in admin.get(shop).text


def test_another_producers_key_is_not_found(admin: Visitor, shop: str) -> None:
    other = create_producer("Blog")
    key, plain = create_key(other.id, scopes=("notify",))
    for act in ("revoke", "rotate"):
        assert admin.post(f"{shop}/keys/{show('key', key.id)}/{act}", {"overlap": "0"}).status_code == 404
    assert found_key(plain) is not None


def test_switching_off_refuses_all_keys_and_on_takes_them_again(admin: Visitor, shop: str) -> None:
    plain = new_key(admin, shop)
    for state, works in (("off", False), ("on", True)):
        admin.post(f"{shop}/state", {"state": state})
        assert (found_key(plain) is not None) == works
        page = admin.get(shop).text
        assert ('<span class="state good">active</span>' in page, "none of its keys works" in page) == (
            works,
            not works,
        )


@pytest.mark.parametrize(
    ("form", "stored"),
    [
        (
            {"is_limited": "y", "origins": "https://shop.example\nhttp://localhost:3000/"},
            ["https://shop.example", "http://localhost:3000"],
        ),
        ({"is_limited": "y", "origins": ""}, []),
        ({"origins": "https://shop.example"}, None),
    ],
)
def test_sites_are_limited_and_not(admin: Visitor, shop: str, form: dict[str, str], stored: list[str] | None) -> None:
    assert admin.post(f"{shop}/origins", form).status_code == 303
    db.session.rollback()
    assert db.session.scalar(sa.select(Producer.allowed_origins)) == stored


def test_sites_that_somebody_else_has_changed_meanwhile_stay(admin: Visitor, shop: str) -> None:
    opened = {"is_limited": "y", "origins": "https://mine.example", "seen": seen_in(admin.get(shop).text)}
    admin.post(f"{shop}/origins", {"is_limited": "y", "origins": "https://theirs.example"})
    answer = admin.post(f"{shop}/origins", opened)
    assert (answer.status_code, "Somebody else has changed the sites of " in answer.text) == (422, True)
    db.session.rollback()
    assert db.session.scalar(sa.select(Producer.allowed_origins)) == ["https://theirs.example"]


def test_what_is_no_site_is_said_beside_its_field(admin: Visitor, shop: str) -> None:
    answer = admin.post(f"{shop}/origins", {"is_limited": "y", "origins": "shop.example"})
    assert (answer.status_code, "is not an origin" in answer.text) == (422, True)


@pytest.mark.parametrize("path", ["/admin/producers/nope", "/admin/producers/prd_" + "0" * 32])
def test_an_unknown_producer_is_not_found(admin: Visitor, path: str) -> None:
    assert admin.get(path).status_code == 404
    assert admin.post(f"{path}/keys", {"kind": "live", "scopes": ["notify"]}).status_code == 404


def test_viewers_look_and_may_not_change(signed_in: Callable[..., Visitor], shop: str) -> None:
    viewer = signed_in("viewer")
    assert "this needs admin" in viewer.get(shop).text
    assert "this needs admin" in viewer.get("/admin/producers").text
