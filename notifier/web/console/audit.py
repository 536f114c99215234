"""The audit trail: who changed an entry, and from where. For admins; nobody can change it."""

import json
from collections.abc import Iterator

from flask import Flask, Response, current_app, flash, render_template, request
from flask.typing import ResponseReturnValue

from notifier.core.errors import Rejected
from notifier.ground import shapes
from notifier.models import AuditEntry
from notifier.queries import audit
from notifier.web.access import allow, page_blueprint
from notifier.web.csv_lines import csv_line

pages = page_blueprint("audit", url_prefix="/admin/audit")

_COLUMNS = ("at", "actor", "action", "subject", "before", "after", "origin")
_LARGEST_ID = 2**63 - 1


@pages.get("")
@allow("admin", may_lag=True)
def listing() -> ResponseReturnValue:
    chosen = _chosen()
    found = audit.page(chosen, _after())
    scope = {name: value for name, value in request.args.items() if name in audit.PARAMETERS}
    return render_template(
        "admin/audit.html",
        found=found,
        chosen=chosen,
        scope=scope,
        actions=audit.actions(),
        within=request.args.get("within", ""),
    )


@pages.get("/csv")
@allow("admin")
def download() -> ResponseReturnValue:
    """All entries of the same filter as CSV, a piece at a time. An invalid filter is refused, so that nobody takes the
    whole trail for a part of it.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    return Response(
        _lines(app, audit.read_filter(request.args)),
        mimetype="text/csv",
        headers={"Content-Disposition": 'attachment; filename="audit.csv"', "Cache-Control": "no-store"},
    )


def _lines(app: Flask, chosen: audit.Filter) -> Iterator[str]:
    """Reads a batch at a time, each in a context of its own:
    the request is over when a server asks for the next piece.
    """
    yield csv_line(_COLUMNS)
    after: int | None = None
    while True:
        with app.app_context():
            entries, after = audit.batch(chosen, after)
            text = "".join(map(_of, entries))
        yield text
        if after is None:
            return


def _of(entry: AuditEntry) -> str:
    changes = [
        None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)
        for value in (entry.before, entry.after)
    ]
    return csv_line((shapes.timestamp(entry.at), entry.actor, entry.action, entry.subject, *changes, entry.origin))


def _chosen() -> audit.Filter:
    try:
        return audit.read_filter(request.args)
    except Rejected as error:
        flash(f"{error.detail[0].upper()}{error.detail[1:]}. The filters were ignored.", "warning")
        return audit.Filter()


def _after() -> int | None:
    after = request.args.get("after", type=int)
    return after if after is not None and 0 <= after <= _LARGEST_ID else None
