"""What browsers load: made of `static/` by `assets.mjs`, compressed, and kept by them for ever."""

import gzip
import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from notifier.ground.config import ROOT
from notifier.web.assets import BUILT, chunks_of, manifest

_FOREVER = "max-age=315360000, public, immutable"
_NAMED = re.compile(r'(?:src|href)="(/static/[^"]+)"')
_CLASS = re.compile(r"\.(-?[a-zA-Z_][\w-]*)")
_CLASSES = re.compile(r'class="([^"{]*)"')

Visitor = FlaskClient
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")


def _named_by(page: str) -> list[str]:
    return _NAMED.findall(page)


@on_sqlite
@pytest.mark.parametrize("path", ["/login", "/api/docs"])
def test_what_a_page_names_is_there_and_never_asked_for_again(visitor: Visitor, path: str) -> None:
    named = _named_by(visitor.get(path).text)
    assert named
    for url in named:
        answer = visitor.get(url)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, _FOREVER), url


@on_sqlite
def test_the_inbox_is_one_bundle_and_what_it_imports_is_named_beside_it(signed_in: Callable[..., Visitor]) -> None:
    person = signed_in()
    named = _named_by(person.get("/inbox").text)
    assert f"/static/{manifest()['files']['inbox.js']}" in named
    assert {f"/static/{chunk}" for chunk in chunks_of("inbox.js")} <= set(named)
    assert len([url for url in named if url.endswith(".css")]) == 1


@on_sqlite
@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br, zstd", "br"), ("gzip", "gzip"), ("identity", None), ("", None)],
)
def test_a_file_comes_as_the_browser_takes_it(visitor: Visitor, accepted: str, encoding: str | None) -> None:
    url = f"/static/{manifest()['files']['css/site.css']}"
    answer = visitor.get(url, headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.headers["Vary"] == "Accept-Encoding"
    if encoding == "gzip":
        assert gzip.decompress(answer.data) == (BUILT / manifest()["files"]["css/site.css"]).read_bytes()


@on_sqlite
def test_other_peoples_pages_load_the_inbox_by_a_name_that_stays(visitor: Visitor) -> None:
    answer = visitor.get("/static/inbox.js")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "max-age=600, public"
    assert answer.text == f'export * from "./{manifest()["files"]["inbox.js"]}";\n'


def test_every_class_of_a_page_keeps_its_rules() -> None:
    """Rules of Tabler that no page can use are left out. Those of classes that stand in a template are not."""
    tabler = set(_CLASS.findall((ROOT / "node_modules/@tabler/core/dist/css/tabler.min.css").read_text()))
    kept = set(_CLASS.findall((BUILT / manifest()["files"]["css/site.css"]).read_text()))
    used = {
        name
        for template in (ROOT / "templates").rglob("*.html")
        for names in _CLASSES.findall(template.read_text())
        for name in names.split()
    }
    assert used & tabler
    assert used & tabler <= kept
    assert len(kept & tabler) < len(tabler) / 4


@on_sqlite
@pytest.mark.parametrize("path", ["/static/../wsgi.py", "/static/%2e%2e/wsgi.py", "/static/js/"])
def test_nothing_else_is_served(visitor: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == 404


@on_sqlite
def test_a_file_is_only_read(visitor: Visitor) -> None:
    assert visitor.post("/static/inbox.js").status_code == 405
