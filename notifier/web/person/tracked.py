"""Where the links and the pixel of tracked mails lead: on to the link's target, and to an image of one transparent dot.

A token names a delivery and a number; where that leads stands in the database, so no token redirects anywhere else.
Who follows is judged by the request (`core.tracking`), and nothing of the request is kept. The token is the proof: no
cookie is read or set.
"""

import base64
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from flask import Response, make_response, redirect, request
from flask.typing import ResponseReturnValue

from notifier.core.tracking import DECOY
from notifier.ground import tokens
from notifier.ground.clock import now
from notifier.ground.languages import N_
from notifier.pipeline.delivery import tracking
from notifier.pipeline.delivery.tracking import Asked
from notifier.web.access import ANYONE, allow, page_blueprint
from notifier.web.errors import Words, error_page

pages = page_blueprint("tracked")

_DOT = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_GONE = Words(
    N_("This link no longer works"),
    N_("The message that it came with is too old, or the link is incomplete. Open it again."),
)


@pages.get("/t/<token>")
@allow(ANYONE)
def follow(token: str) -> ResponseReturnValue:
    link = tokens.read_link(token)
    found = tracking.find(link.delivery_id) if link else None
    target = found.target(link.number) if found and link else None
    if link and found and (target is not None or link.number == DECOY):
        tracking.note(found, "clicked", link.number, _asked(), now())
    answer = make_response(error_page(404, _GONE) if target is None else redirect(target, 302))
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "no-referrer"  # the token is nobody else's business
    return answer


@pages.get("/o/<path:token>.gif")
@allow(ANYONE)
def pixel(token: str) -> ResponseReturnValue:
    delivery_id = tokens.read_pixel(token)
    found = tracking.find(delivery_id) if delivery_id else None
    if found:
        tracking.note(found, "opened", None, _asked(), now())
    return _dot()


@pages.after_request
def _always_a_dot(response: Response) -> Response:
    """Whatever happens, such as the database being away: mail programs would show a broken image."""
    return _dot() if request.endpoint == f"{pages.name}.{pixel.__name__}" and response.status_code != 200 else response


def _dot() -> Response:
    headers = {"Cache-Control": "no-store, no-cache, must-revalidate", "Pragma": "no-cache", "Expires": "0"}
    return Response(_DOT, mimetype="image/gif", headers=headers)


def _asked() -> Asked:
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Asked(request.method, headers, bool(_crawlers().Match(headers.get("user-agent", ""))))


@lru_cache(maxsize=1)
def _crawlers() -> Any:
    """The library's list, without its matching: with Python's `re` that takes a millisecond, and 50 for an agent that
    is made for it.
    """
    patterns = re2.Set.SearchSet()
    for crawler in CRAWLER_USER_AGENTS_DATA:
        patterns.Add(crawler["pattern"])
    patterns.Compile()
    return patterns
