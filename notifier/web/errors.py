"""The page that a person sees when a page cannot be shown. Says what to do next; never shows a trace."""

import math
from typing import NamedTuple

from flask import Blueprint, Flask, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from notifier.core.errors import Rejected
from notifier.ground.database import UNAVAILABLE
from notifier.ground.languages import N_
from notifier.web.language import speak_to_browser


class Words(NamedTuple):
    """In English, and in the catalogues of the other languages."""

    title: str
    advice: str


WORDS = {
    400: Words(
        N_("That did not work"),
        N_("The request was not complete. Go back, reload the page and try again."),
    ),
    403: Words(
        N_("You do not have access to this page"),
        N_("Ask an administrator for access, or sign in with another account."),
    ),
    404: Words(N_("Page not found"), N_("It may have moved, or it no longer exists.")),
    405: Words(N_("That did not work"), N_("This page cannot be opened that way. Go back and try again.")),
    413: Words(N_("That is too large"), N_("Send less than 1 MiB.")),
    429: Words(N_("Too many attempts"), N_("Wait a few minutes, then try again.")),
    500: Words(
        N_("Something went wrong on our side"),
        N_("The error has been logged. Try again in a moment."),
    ),
    503: Words(N_("We cannot reach our database"), N_("Nothing is lost. Try again in a moment.")),
}
_EXPIRED = Words(
    N_("This page was open for too long"),
    N_("Go back, reload the page and send it again. Nothing was changed."),
)


def init_app(app: Flask) -> None:
    app.after_request(_dress)


def _dress(response: Response) -> Response:
    """An address that no route answers: a page of ours instead of Werkzeug's bare one."""
    if request.endpoint is None and response.status_code >= 400 and response.mimetype == "text/html":
        response.set_data(_page(response.status_code))
    return response


def show_pages_for(blueprint: Blueprint) -> None:
    for status in WORDS:
        if status != 503:
            blueprint.register_error_handler(status, _show_http_error)
    blueprint.register_error_handler(HTTPException, _show_http_error)
    blueprint.register_error_handler(Rejected, _show_rejected)
    for outage in UNAVAILABLE:
        blueprint.register_error_handler(outage, _show_database_error)


def error_page(status: int, words: Words | None = None) -> ResponseReturnValue:
    return make_response(_page(status, words), status)


def _page(status: int, words: Words | None = None) -> str:
    return render_template("error.html", status=status, words=words or _words(status), is_inside=_is_inside())


def _is_inside() -> bool:
    """Is somebody signed in? Nobody is while the database cannot say so."""
    try:
        return bool(current_user.is_authenticated)
    except UNAVAILABLE:
        return False


def _words(status: int) -> Words:
    return WORDS.get(status, WORDS[400 if status < 500 else 500])


def _show_http_error(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error.response
    status = error.code or 500
    answer = make_response(error_page(status, _EXPIRED if isinstance(error, CSRFError) else None))
    if status == 405 and error.get_response().headers.get("Allow"):
        answer.headers["Allow"] = error.get_response().headers["Allow"]
    return answer


def _show_rejected(error: Rejected) -> ResponseReturnValue:
    answer = make_response(error_page({"not_found": 404, "rate_limited": 429}.get(error.code, 400)))
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return answer


def _show_database_error(error: Exception) -> ResponseReturnValue:
    speak_to_browser()
    answer = make_response(render_template("error.html", status=503, words=WORDS[503], is_inside=False), 503)
    answer.headers["Retry-After"] = "5"
    return answer
