"""Failed jobs: look, and send again. Viewers look; operators retry."""

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier.core.errors import Rejected
from notifier.ids import parse
from notifier.pipeline import retry_dead
from notifier.queries.failed import failed_page, failed_page_of_database, failed_story
from notifier.queueing import all_queues
from notifier.web.access import allow, is_local, page_blueprint

pages = page_blueprint("failed", url_prefix="/admin/failed")

_MOST_AT_ONCE = 1000
_LAST_PAGE = 1_000_000  # what both databases can count to


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    queue = request.args.get("queue")
    queue = queue if queue in all_queues() else None
    number = min(max(1, request.args.get("page", 1, type=int)), _LAST_PAGE)
    wants_database = request.args.get("source") == "database"
    page = (failed_page_of_database if wants_database else failed_page)(queue, number)
    return render_template("admin/failed.html", page=page, queue=queue, is_redis_away=not page.is_from_queues and not wants_database)


@pages.get("/<job_id>")
@allow("viewer")
def one(job_id: str) -> ResponseReturnValue:
    return render_template("admin/failed_job.html", story=failed_story(job_id))


@pages.post("/retry")
@allow("operator")
def retry() -> ResponseReturnValue:
    back = request.form.get("back")
    target = back if is_local(back) else url_for("failed.listing")
    try:
        ids = [parse("dlv", text) for text in request.form.getlist("ids")[:_MOST_AT_ONCE]]
    except Rejected:
        flash("One of the selected jobs is about no delivery, so there is nothing to send again.", "warning")
        return redirect(target, 303)
    if not ids:
        flash("Select at least one job first.", "warning")
        return redirect(target, 303)
    flash(_words(retry_dead.retry(ids), len(ids)))
    return redirect(target, 303)


def _words(retried: int, asked: int) -> str:
    if retried == asked:
        return "It will be sent again now." if asked == 1 else f"All {asked:,} will be sent again now."
    left = "It was left alone" if asked == 1 else f"{retried:,} of {asked:,} will be sent again now; the others were left alone"
    return f"{left}: expired, sent meanwhile, or no longer wanted."
