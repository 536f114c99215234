"""The brand of mails in the console: saved, previewed, and shown on the pages behind links."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from apiflask import APIFlask

from notifier.access.keys import create_producer
from notifier.core.brand import Brand
from notifier.ground import tokens
from notifier.ground.cells import Cells
from notifier.ground.config import current_settings
from notifier.ground.ids import new_id, show
from notifier.ground.tokens import PreferenceLink
from notifier.models import Forward
from notifier.words.brands import own_brand, set_brand
from tests.conftest import subject_of
from tests.stored import rows
from tests.web.conftest import Visitor, seen_in

ACME = {"name": "Acme", "logo": "https://pics.test/l.png", "accent": "#ffd400", "address": "1 Road\nTown"}


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def test_an_admin_sets_the_installations_brand_and_what_a_producer_has_instead(app: APIFlask, admin: Visitor) -> None:
    shop = create_producer("Shop").id
    page = f"/admin/brand/{show('prd', shop)}"
    assert admin.post("/admin/brand", ACME).location == "/admin/brand"
    assert admin.post(page, {"accent": "#b42318"}).location == page
    assert (own_brand(None), own_brand(shop)) == (Brand(**ACME), Brand(accent="#b42318"))
    uploaded = {**ACME, "logo": f"{current_settings().public_url}/images/{'a' * 32}.png"}
    assert admin.post("/admin/brand", uploaded).status_code == 303
    assert 'value="#ffd400"' in admin.get("/admin/brand").text
    assert (page in admin.get(f"/admin/producers/{show('prd', shop)}").text, "Acme" in admin.get(page).text) == (
        True,
        True,
    )
    refused = admin.post(page, {"accent": "red"})
    assert (refused.status_code, "Write a colour as # and six digits" in refused.text) == (422, True)
    assert own_brand(shop) == Brand(accent="#b42318")
    assert admin.get(f"/admin/brand/{show('prd', new_id())}").status_code == 404


def test_what_somebody_else_has_changed_meanwhile_is_not_undone(app: APIFlask, admin: Visitor) -> None:
    shop = create_producer("Shop").id
    for page in ("/admin/brand", f"/admin/brand/{show('prd', shop)}"):
        opened = {"accent": "#b42318", "seen": seen_in(admin.get(page).text)}
        assert admin.post(page, ACME).status_code == 303
        answer = admin.post(page, opened)
        assert (answer.status_code, "Somebody else has changed the brand" in answer.text) == (422, True)
    assert (own_brand(None), own_brand(shop)) == (Brand(**ACME), Brand(**ACME))


def test_what_is_saved_is_told_to_the_other_cells(
    app: APIFlask, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = Cells("eu", {"us": "https://us.example.com", "asia": "https://asia.example.com"}, ("k" * 40,))
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], region=cells))
    shop = create_producer("Shop").id
    admin.post("/admin/brand", ACME)
    admin.post(f"/admin/brand/{show('prd', shop)}", {"accent": "#b42318"})
    admin.post("/admin/brand", {"accent": "red"})  # refused
    told = [(row.region, row.call["behalf"]["name"], row.call["body"]["brand"]["accent"]) for row in rows(Forward)]
    assert sorted(told) == [
        (region, *what) for region in ("asia", "us") for what in (("Console", "#ffd400"), ("Shop", "#b42318"))
    ]


def test_a_preview_shows_what_is_typed_at_both_widths_and_stores_nothing(app: APIFlask, admin: Visitor) -> None:
    answer = admin.post("/admin/brand/-/preview", ACME, headers={"X-Partial": "preview"})
    frames = re.findall(r'<iframe class="([^"]+)" src="([^"]+)" sandbox="allow-popups[^"]*"', answer.text)
    assert [size for size, _ in frames] == ["mail is-narrow", "mail"]
    assert "Mail programs load the logo from pics.test" in answer.text
    mail = admin.get(frames[0][1])
    assert ("sandbox" in mail.headers["Content-Security-Policy"], 'bgcolor="#ffd400"' in mail.text) == (True, True)
    assert own_brand(None) == Brand()
    wrong = admin.post("/admin/brand/-/preview", {**ACME, "name": ""}, headers={"X-Partial": "preview"})
    assert ("A logo needs a name" in wrong.text, "<iframe" in wrong.text) == (True, False)


def test_pages_behind_links_say_the_brands_name(app: APIFlask, visitor: Visitor, cast: dict[str, str]) -> None:
    shop = create_producer("Shop").id
    pages = [
        f"/p/{tokens.sign_preferences(PreferenceLink(subject_of('dave'), shop))}",
        f"/p/{tokens.sign_preferences(PreferenceLink(subject_of('dave')))}",
        f"/u/{tokens.sign_unsubscribe(subject_of('dave'), 'social', 'email')}",
    ]
    assert [shown(visitor, page) for page in pages] == ["Notifier"] * 3
    set_brand(None, Brand(name="<Acme>"), subject="installation")
    set_brand(shop, Brand(name="Shop"), subject="Shop")
    assert [shown(visitor, page) for page in pages] == ["Shop", "&lt;Acme&gt;", "&lt;Acme&gt;"]


def shown(visitor: Visitor, page: str) -> str:
    """The name at the top, which stands in the title as well."""
    text = visitor.get(page).text
    [name] = re.findall(r'<p class="brand">.*?<span>(.*?)</span>', text)
    assert re.search(rf"· {re.escape(name)}</title>", text)
    return str(name)
