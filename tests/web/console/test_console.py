"""What the pages of the console share: the whole route map, with odd addresses."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from apiflask import APIFlask

from notifier.ground.cells import Cells
from tests.web.conftest import Visitor
from tests.web.test_access import console


@pytest.fixture
def admin(signed_in: Callable[..., Visitor]) -> Visitor:
    return signed_in("admin")


def opened(app: APIFlask, visitor: Visitor, change: Callable[[str], str]) -> dict[str, int]:
    """Every GET page at a changed address → the status it answers with."""
    return {path: visitor.get(change(path)).status_code for method, path, _ in console(app) if method == "GET"}


def test_what_an_address_says_beside_its_filters_is_no_order_to_us(app: APIFlask, admin: Visitor) -> None:
    query = "endpoint=x&_external=1&_scheme=javascript&_method=POST&_anchor=x"
    assert {
        path: status for path, status in opened(app, admin, lambda path: f"{path}?{query}").items() if status >= 500
    } == {}
    assert "javascript:" not in admin.get(f"/admin/failed?{query}").text


@pytest.mark.parametrize("path", ["/admin/failed", "/admin/failed/jobs", "/admin/types", "/admin/templates"])
def test_filtering_keeps_the_order_of_a_list(admin: Visitor, path: str) -> None:
    form = admin.get(f"{path}?sort=-key").text.partition('role="search"')[2].partition("</form>")[0]
    assert '<input type="hidden" name="sort" value="-key">' in form


def test_words_that_no_database_can_hold_are_nowhere(app: APIFlask, admin: Visitor) -> None:
    answers = opened(app, admin, lambda path: path.replace("nothing", "%00"))
    assert {status for path, status in answers.items() if "nothing" in path} == {404}
    assert admin.get(f"/admin/templates/order_shipped/{'1' * 40}").status_code == 404


@pytest.mark.parametrize(
    ("path", "page"),
    [
        ("/admin/", "Overview"),
        ("/admin/failed/jobs", "Failed"),
        ("/admin/failed/actions", "Failed"),
        ("/admin/types", "Types"),
        ("/admin/templates/order_shipped", "Templates"),
        ("/admin/templates/order_shipped/1", "Templates"),
    ],
)
def test_the_menu_marks_the_page_under_which_an_address_stands(admin: Visitor, path: str, page: str) -> None:
    menu = admin.get(path).text.partition('aria-label="Admin"')[2].partition("</nav>")[0]
    assert re.findall(r'aria-current="page">\s*(\w+)', menu) == [page]


def test_the_console_says_which_cell_it_shows_and_leads_to_the_others(
    app: APIFlask, admin: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "This is the cell" not in admin.get("/admin/types").text
    cells = Cells("eu", {"us": "https://us.example.com", "asia": "https://asia.example.com"}, ("k" * 40,))
    monkeypatch.setitem(app.extensions, "settings", replace(app.extensions["settings"], region=cells))
    for path, there in {
        "/admin/": "/admin/",
        "/admin/types": "/admin/types",
        "/admin/templates/order_shipped": "/admin/templates",
    }.items():
        text = admin.get(path).text
        assert "This is the cell <strong>eu</strong>." in text
        assert re.findall(r'href="(https://[^"]+)">(\w+)</a>', text.partition("Other cells:")[2])[:2] == [
            (f"https://asia.example.com{there}", "asia"),
            (f"https://us.example.com{there}", "us"),
        ]
