"""Templates: the words of the event types. Reading only, for now."""

import re

from flask import Response

from notifier.api.answers import answer
from notifier.api.auth import Door, allow
from notifier.api.schemas import TemplateOut, TemplatePage
from notifier.core.errors import Rejected
from notifier.queries import types as queries

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:@[0-9]{1,9})?\Z")

bp = Door("api_templates", __name__, url_prefix="/api/v1/templates", tag="Templates")


@bp.get("")
@allow("read", "templates")
@bp.output(TemplatePage)
def list_templates() -> Response:
    """The published version of every template"""
    return answer({"data": queries.published_templates(), "next": None})


@bp.get("/<name>")
@allow("read", "templates")
@bp.output(TemplateOut)
def get_template(name: str) -> Response:
    """One template with its words

    By its key the published version, as `key@3` a certain one.
    """
    if not _NAME.match(name):
        raise Rejected("not_found", f"there is no template {name[:80]!r}")
    return answer(queries.one_template(name))
