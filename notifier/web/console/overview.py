"""The overview: whether everything is running, what was sent and how fast, what is waiting, and what fails more than
usual.
"""

from datetime import timedelta

import redis
from flask import render_template, request
from flask.typing import ResponseReturnValue

from notifier.channels import CHANNELS
from notifier.core.synthetic import BAD
from notifier.ground.clock import now
from notifier.providers import accounts, health
from notifier.queries import causes, queues, synthetic, tallies
from notifier.queries.dead_letters import Filter
from notifier.queries.overview import overview
from notifier.web.access import allow, page_blueprint

_MOST_RISING = 5

pages = page_blueprint("admin", url_prefix="/admin")


@pages.get("/")
@allow("viewer")
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
        counted=tallies.counted(window, channel),
        channel=channel,
        windows=tallies.WINDOWS,
        rising=rising[:_MOST_RISING],
        breakers=_open_breakers(),
        stopped=queues.paused(),
        synthetic=synthetic.standing(),
        bad_states=BAD,
    )


def _open_breakers() -> dict[str, str]:
    try:
        return {scope: state for scope, state in health.states().items() if state not in ("closed", "forced_closed")}
    except redis.RedisError:
        return {}
