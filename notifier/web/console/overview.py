"""The overview: whether everything is running, what was sent and how fast, what is waiting, and what fails more than
usual.
"""

from datetime import timedelta
from typing import Any

import redis
from flask import render_template, request
from flask.typing import ResponseReturnValue

from notifier.channels import CHANNELS
from notifier.core.latency import BUDGET
from notifier.core.synthetic import BAD
from notifier.core.trends import steepest
from notifier.ground.clock import now
from notifier.ground.config import current_settings
from notifier.providers import accounts, health
from notifier.queries import causes, queues, synthetic, tallies, trends
from notifier.queries.dead_letters import Filter
from notifier.queries.overview import overview
from notifier.web.access import allow, page_blueprint

_MOST_RISING = 5

pages = page_blueprint("admin", url_prefix="/admin")


@pages.get("/")
@allow("viewer", may_lag=True)
def index() -> ResponseReturnValue:
    accounts.refresh()
    window = tallies.WINDOWS.get(request.args.get("window", ""), tallies.WINDOWS["hour"])
    channel = request.args.get("channel") if request.args.get("channel") in CHANNELS else None
    rising = [
        group
        for group in causes.groups(Filter(since=now() - timedelta(hours=causes.HOURS)), "-count").groups
        if group.is_rising
    ]
    return render_template(
        "admin/overview.html",
        overview=overview(),
        channel=channel,
        windows=tallies.WINDOWS,
        rising=rising[:_MOST_RISING],
        breakers=open_breakers(),
        stopped=queues.paused(),
        **figures(window, channel),
    )


def figures(window: tallies.Window, channel: str | None = None) -> dict[str, Any]:
    """What `overview_parts.html` shows, here and on a wall."""
    return {
        "counted": tallies.counted(window, channel),
        "changes": steepest(trends.changes(window), _MOST_RISING),
        "price": current_settings().sms_segment_price,
        "objective": 1 - BUDGET,
        "synthetic": synthetic.standing(),
        "bad_states": BAD,
    }


def open_breakers() -> dict[str, str]:
    try:
        return {scope: state for scope, state in health.states().items() if state not in ("closed", "forced_closed")}
    except redis.RedisError:
        return {}
