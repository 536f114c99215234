"""The overview: is everything running, what was sent and how fast, what is waiting, and what is failing more than usual?"""

from datetime import timedelta
from typing import Any

import redis
from flask import render_template, request
from flask.typing import ResponseReturnValue

from notifier.channels import CHANNELS
from notifier.clock import now
from notifier.dead_letters import Filter
from notifier.pipeline import health
from notifier.queries import causes, queues, tallies
from notifier.queries.overview import overview
from notifier.web.access import allow, page_blueprint

# How long the oldest may have been waiting: what each priority is promised.
TARGETS = {"urgent": timedelta(seconds=1), "high": timedelta(seconds=5), "medium": timedelta(seconds=30), "low": timedelta(minutes=30)}
_MOST_RISING = 5

pages = page_blueprint("admin", url_prefix="/admin")


@pages.get("/")
@allow("viewer")
def index() -> ResponseReturnValue:
    window = tallies.WINDOWS.get(request.args.get("window", ""), tallies.WINDOWS["hour"])
    channel = request.args.get("channel") if request.args.get("channel") in CHANNELS else None
    rising = [group for group in causes.groups(Filter(since=now() - timedelta(hours=causes.HOURS)), "-count").groups if group.is_rising]
    return render_template(
        "admin/overview.html",
        overview=overview(),
        counted=tallies.counted(window, channel),
        channel=channel,
        windows=tallies.WINDOWS,
        rising=rising[:_MOST_RISING],
        urgencies=_urgencies(),
        breakers=_open_breakers(),
        stopped=queues.paused(),
    )


def _urgencies() -> list[dict[str, Any]] | None:
    """How long the oldest of each priority has been waiting, beside what it should be at most. None without Redis."""
    try:
        lines = [line for channel in queues.by_channel({}) for line in channel.queues]
    except redis.RedisError:
        return None
    found = []
    for priority, target in TARGETS.items():
        mine = [line for line in lines if line.priority == priority]
        oldest = max((line.oldest for line in mine if line.oldest is not None), default=None)
        is_late = oldest is not None and oldest > target
        found.append({"priority": priority, "waiting": sum(line.waiting for line in mine), "oldest": oldest, "target": target, "is_late": is_late})
    return found


def _open_breakers() -> dict[str, str]:
    try:
        return {scope: state for scope, state in health.states().items() if state not in ("closed", "forced_closed")}
    except redis.RedisError:
        return {}
