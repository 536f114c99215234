"""The inbox component's texts in one language, from the same catalogue as the pages'. Public: other sites ask for them.

`static/js/inbox/labels.js` has them in English, and looks them up by that.
"""

from functools import cache

from flask import abort, current_app
from flask.typing import ResponseReturnValue

from notifier.ground.languages import SOURCE, catalogue, forms, language_for, names
from notifier.web.access import ANYONE, allow, page_blueprint

pages = page_blueprint("labels")

_PLACE = "static/js/inbox/"


@pages.get("/labels/<language>.json")
@allow(ANYONE)
def dictionary(language: str) -> ResponseReturnValue:
    if language == SOURCE or language not in names():
        abort(404)
    answer = current_app.json.response(_labels(language))
    answer.headers["Access-Control-Allow-Origin"] = "*"
    answer.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


@cache
def _labels(language: str) -> dict[str, str | dict[str, str]]:
    """English text → text; of a plural, the form for each of the language's categories."""
    told = language_for(language)
    found: dict[str, str | dict[str, str]] = {}
    for message in catalogue(language):
        if message.id and any(path.startswith(_PLACE) for path, _line in message.locations):
            if isinstance(message.id, str):
                found[message.id] = told.gettext(message.id)
            else:
                found[message.id[0]] = forms(language, *message.id)
    return found
