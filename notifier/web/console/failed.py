"""Failed jobs: what is failing, since when, why and for whom; and retrying it. Viewers look; operators act.

The first page shows causes, the next one the jobs of a cause; `/admin/failed/registry` shows RQ's own registries.
Actions on more than one job ask first and run in the background (`failed_actions`).
"""

from typing import Any

import redis
from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier.channels import CHANNELS
from notifier.core.errors import Rejected
from notifier.ground.clock import now
from notifier.ground.ids import parse
from notifier.operations import retry_dead
from notifier.queries import causes
from notifier.queries.dead_letters import PARAMETERS, WITHIN, Filter, read_filter
from notifier.queries.failed import failed_page, failed_story
from notifier.queries.types import names as type_names
from notifier.signals.queueing import OTHER_QUEUES, all_queues
from notifier.web.access import allow, is_local, page_blueprint

pages = page_blueprint("failed", url_prefix="/admin/failed")

_LAST_PAGE = 1_000_000  # what both databases can count to


@pages.get("")
@allow("viewer", may_lag=True)
def listing() -> ResponseReturnValue:
    chosen = _chosen()
    sort = request.args.get("sort", "")
    if sort.removeprefix("-") not in causes.SORTS:
        sort = "-newest"
    return render_template(
        "admin/failed.html",
        found=causes.groups(chosen, sort),
        sort=sort,
        agreement=causes.agreement(),
        actions=causes.actions(5),
        **_filters(chosen),
    )


@pages.get("/jobs")
@allow("viewer", may_lag=True)
def jobs() -> ResponseReturnValue:
    chosen = _chosen()
    is_oldest_first = request.args.get("sort") == "failed"
    found = causes.jobs(chosen, request.args.get("after"), is_oldest_first=is_oldest_first)
    return render_template(
        "admin/failed_jobs.html", found=found, sort="failed" if is_oldest_first else "-failed", **_filters(chosen)
    )


@pages.get("/registry")
@allow("viewer")
def registry() -> ResponseReturnValue:
    queue = request.args.get("queue")
    queue = queue if queue in all_queues() else None
    number = min(max(1, request.args.get("page", 1, type=int)), _LAST_PAGE)
    try:
        page = failed_page(queue, number)
    except redis.RedisError:
        page = None
    return render_template("admin/failed_registry.html", page=page, queue=queue)


@pages.get("/<job_id>")
@allow("viewer")
def one(job_id: str) -> ResponseReturnValue:
    return render_template("admin/failed_job.html", story=failed_story(job_id))


@pages.post("/<job_id>/retry")
@allow("operator")
def retry(job_id: str) -> ResponseReturnValue:
    retried = retry_dead.retry([parse("dlv", job_id)])
    flash(
        "It has been queued again and will be sent as soon as a worker is free."
        if retried
        else "Nothing was done: it has expired or been sent, or somebody else has retried or deleted it.",
        "message" if retried else "warning",
    )
    return redirect(_back(url_for("failed.one", job_id=job_id)), 303)


def _chosen() -> Filter:
    """The filter in the address; what makes no sense in it is said and left out."""
    given = request.args.to_dict()
    try:
        return read_filter(given, now())
    except Rejected as error:
        for fault in error.faults:
            flash(f"{fault.message[0].upper()}{fault.message[1:]}. This filter was ignored.", "warning")
            given.pop(fault.pointer.strip("/"), None)
        return read_filter(given, now())


def _filters(chosen: Filter) -> dict[str, Any]:
    """The choices of a list's filters, and the current ones."""
    queues = [name for name in all_queues() if name not in OTHER_QUEUES]
    within = request.args.get("within", "")
    return {
        "chosen": chosen,
        "queues": queues,
        "types": type_names(),
        "channels": [name for name, channel in CHANNELS.items() if channel.address is not None],
        "within": within if within in WITHIN else "",
        "scope": {name: value for name, value in request.args.items() if name in PARAMETERS},
    }


def _back(otherwise: str) -> str:
    back = request.form.get("back")
    return back if back is not None and is_local(back) else otherwise
