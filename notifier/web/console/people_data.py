"""What the law gives people: the export of one, and the certificates of those who were erased. Admins."""

from flask import Response, current_app, render_template, request, stream_with_context
from flask.typing import ResponseReturnValue

from notifier.core.errors import Rejected
from notifier.ground.database import transaction
from notifier.ledgers import audit
from notifier.people import erasures
from notifier.queries.notifications import Sight
from notifier.queries.person_export import written
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("people_data", url_prefix="/admin")

_LONGEST = 200


@pages.get("/erasures")
@allow("admin")
def certificates() -> ResponseReturnValue:
    text = request.args.get("q", "").strip().replace("\0", "")[:_LONGEST]
    return render_template("admin/erasures.html", certificates=_found(text), q=text)


def _found(text: str) -> list[dict[str, object]]:
    """By the id of a certificate, or of a person, whose digest alone is stored."""
    if not text:
        return erasures.newest()
    try:
        return erasures.one(text)
    except Rejected:
        return erasures.of_person(text)


@pages.post("/users/<user_id>/export")
@allow("admin", recent=True)
def export_person(user_id: str) -> ResponseReturnValue:
    """The document that the person themselves gets; who has taken it is on record."""
    pieces = written(user_id, Sight(), current_app.json.dumps)
    with transaction():
        audit.write("person.exported", user_id)
    headers = {"Content-Disposition": "attachment; filename=person-export.json", "Cache-Control": "no-store"}
    return Response(stream_with_context(pieces), headers=headers, content_type="application/json")
