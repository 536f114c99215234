"""What browsers load: the files that `assets.mjs` has made in `static/built`, served at /static.

`url_for('static', filename='js/live.js')` gives the file's name by content, so that browsers may keep it for ever.
Served by WhiteNoise, before Flask, brotli or gzip as the browser takes it. A process serves the build that it found
when it began, by plain names too: what a later build makes is not mixed with it.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypedDict
from wsgiref.headers import Headers
from wsgiref.types import WSGIApplication

from flask import Flask, abort
from whitenoise import WhiteNoise

from notifier.ground.config import ROOT

BUILT = ROOT / "static" / "built"
_MANIFEST = "manifest.json"
_PREFIX = "static/"
_MAX_AGE_S = 600  # of the few that are known by plain names, as inbox.js is to other people's pages


class Manifest(TypedDict):
    """`files`: what became of each file. `chunks`: what a script imports, to be loaded beside it. `plain`: what is
    served by a name that stays.
    """

    files: Mapping[str, str]
    chunks: Mapping[str, Sequence[str]]
    plain: Mapping[str, str]


def init_app(app: Flask) -> None:
    app.view_functions["static"] = _nothing_else  # Flask's own would serve what a later build makes
    app.url_defaults(_name_by_content)
    app.add_template_global(chunks_of)
    if (BUILT / _MANIFEST).is_file():
        app.wsgi_app = serving(app.wsgi_app, BUILT, manifest()["plain"])  # type: ignore[method-assign]


def serving(application: WSGIApplication, built: Path, plain: Mapping[str, str]) -> WhiteNoise:
    """The files that are in `built` by now, before the application's own answers; under plain names too, those of
    `plain`.
    """
    server = WhiteNoise(
        application,
        root=built,
        prefix=_PREFIX,
        max_age=_MAX_AGE_S,
        immutable_file_test=r"-[0-9A-Z]{8,}\.[a-z]+$",
        add_headers_function=_add_headers,
    )
    for name, made in plain.items():
        server.add_file_to_dictionary(f"/{_PREFIX}{name}", str(built / made))
    return server


@functools.cache
def manifest() -> Manifest:
    """Read before the list of files is made, so that what it names is in the list."""
    try:
        return json.loads((BUILT / _MANIFEST).read_bytes())  # type: ignore[no-any-return]
    except FileNotFoundError as missing:
        raise RuntimeError(f"{BUILT} is not there: run `make assets`") from missing


def chunks_of(script: str) -> Sequence[str]:
    """What a script imports, named by content: a page that names these too does not wait for one after the other."""
    return manifest()["chunks"].get(script, ())


def _nothing_else(filename: str) -> NoReturn:
    """What is not in the list is not there."""
    abort(404)


def _name_by_content(endpoint: str, values: dict[str, Any]) -> None:
    if endpoint == "static":
        values["filename"] = manifest()["files"].get(values["filename"], values["filename"])


def _add_headers(headers: Headers, _path: str, _url: str) -> None:
    """The inbox is a component for other people's sites too, and must be readable there."""
    headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    headers["X-Content-Type-Options"] = "nosniff"
