"""What the errors of the API mean, and what to do: the pages that the `type` of a problem leads to, and their list.

For anybody, in English, the same for all: caches keep them, and neither database nor session is asked.
"""

import json
import re

from flask import Response, render_template
from markupsafe import Markup, escape

from notifier.core.problems import PROBLEMS
from notifier.core.problems.problem import PLACE
from notifier.ground.config import current_settings
from notifier.web.access import ANYONE, allow, page_blueprint

pages = page_blueprint("problems", url_prefix=PLACE)

_CODE = re.compile(r"`([^`]+)`")
_HEADERS = {"Cache-Control": "public, max-age=3600"}


@pages.app_template_filter()
def with_code(text: str) -> Markup:
    """`…` as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


@pages.get("", strict_slashes=False)
@allow(ANYONE)
def every() -> Response:
    return _page(render_template("problems.html", problems=PROBLEMS, is_lost=False))


@pages.get("/<code>")
@allow(ANYONE)
def one(code: str) -> Response:
    problem = PROBLEMS.get(code)
    if problem is None:
        return _page(render_template("problems.html", problems=PROBLEMS, is_lost=True), 404)
    example = json.dumps(problem.example(code, current_settings().public_url), indent=2, ensure_ascii=False)
    return _page(render_template("problem.html", code=code, problem=problem, example=example))


def _page(html: str, status: int = 200) -> Response:
    return Response(html, status, _HEADERS if status == 200 else None, mimetype="text/html")
