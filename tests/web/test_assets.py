"""What browsers load: made of `static/` by `assets.mjs`, compressed, and kept by them for ever."""

import gzip
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug import Response
from werkzeug.test import Client

from notifier.ground.config import ROOT
from notifier.web.assets import BUILT, chunks_of, manifest, serving

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
def test_what_is_put_beside_them_later_is_not_served(visitor: Visitor) -> None:
    later = BUILT / "later.js"
    later.write_text("export {};")
    try:
        assert visitor.get("/static/later.js").status_code == 404
    finally:
        later.unlink()


@on_sqlite
def test_a_file_is_only_read(visitor: Visitor) -> None:
    assert visitor.post("/static/inbox.js").status_code == 405


# ---- making them ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What `assets.mjs` reads, with what it has made for our own tree."""
    for folder in ("static", "templates", "notifier/web"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in ("assets.mjs", "package.json", "package-lock.json"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "node_modules").symlink_to((ROOT / "node_modules").resolve())
    return tmp_path


def _started(tree: Path, *options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["node", "assets.mjs", *options], cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _named_in(tree: Path) -> list[Path]:
    built = tree / "static/built"
    return [built / name for name in json.loads((built / "manifest.json").read_bytes())["files"].values()]


@pytest.mark.slow
def test_runs_at_the_same_time_leave_each_other_and_what_was_named_before_alone(tree: Path) -> None:
    before = _named_in(tree)
    for path in before:
        os.utime(path, (0, 0))
    killed = tree / "static/.built-1"
    (killed / "js").mkdir(parents=True)
    (killed / "js/torn.js").write_text("neither read nor built (")
    os.utime(killed, (0, 0))
    (tree / "static/js/live.js").write_text("console.log('another');")
    runs = [_started(tree), _started(tree)]
    assert [(run.communicate(timeout=240)[0], run.returncode) for run in runs] == [(b"", 0), (b"", 0)]
    assert _started(tree, "--check").wait(60) == 0
    assert _named_in(tree) != before
    assert all(path.is_file() for path in [*before, *_named_in(tree)])
    assert list((tree / "static").glob(".built-*")) == []


@pytest.mark.slow
def test_a_server_that_runs_through_a_build_goes_on_with_the_one_before(tree: Path) -> None:
    built = tree / "static/built"
    plain = json.loads((built / "manifest.json").read_bytes())["plain"]
    browser = Client(serving(Response(status=404), built, plain))
    before = {name: browser.get(f"/static/{name}").data for name in plain}
    script = tree / "static/inbox.js"
    script.write_text(script.read_text() + "console.log('another');")
    assert _started(tree).wait(240) == 0
    assert json.loads((built / "manifest.json").read_bytes())["plain"] != plain
    assert {name: browser.get(f"/static/{name}").data for name in plain} == before
    bundle = re.search(r'"\./(.+)"', before["inbox.js"].decode())
    assert bundle
    answer = browser.get(f"/static/{bundle[1]}")
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, "*")


@pytest.mark.slow
def test_a_build_that_fails_leaves_the_one_before(tree: Path) -> None:
    before = {path: path.read_bytes() for path in (tree / "static/built").rglob("*") if path.is_file()}
    (tree / "static/js/live.js").write_text("import 'nowhere';")
    run = _started(tree)
    said = run.communicate(timeout=120)[0].decode()
    assert run.returncode != 0
    assert "nowhere" in said
    assert {path: path.read_bytes() for path in (tree / "static/built").rglob("*") if path.is_file()} == before
    assert list((tree / "static").glob(".built-*")) == []
