"""What waits and why, who works, and what is stopped. Viewers look; operators pause, resume, stop and send again."""

import redis
from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier import channels
from notifier.channels import serving
from notifier.core.errors import Rejected
from notifier.providers import accounts as providers
from notifier.providers import health, pausing
from notifier.queries import queues, waiting
from notifier.queries.overview import held_back
from notifier.web.access import allow, page_blueprint
from notifier.web.presentation import scope_words

pages = page_blueprint("queues", url_prefix="/admin/queues")

_AWAY = "Redis, which knows who is stopped, cannot be reached"
_FORCED = {
    "open": "Nothing more is sent through {} until somebody lets it send again.",
    "closed": "{} sends again, whatever happens to its calls.",
    "auto": "{} is stopped and tried again by itself, as its calls fare.",
}


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    shown = {"waiting": waiting.by_reason(), "most": waiting.MOST_COUNTED}
    try:
        held = held_back()
        shown |= {
            "channels": queues.by_channel(held),
            "held_back": sum(held.values()),
            "workers": queues.workers(),
            "schedulers": queues.schedulers(),
            "breakers": _breakers(),
            "held": waiting.held_by_scope(),
        }
    except redis.RedisError:
        shown |= {"channels": None, "paused": queues.paused()}
    return render_template("admin/queues.html", **shown)


@pages.get("/waiting/<why>")
@allow("viewer")
def of_reason(why: str) -> ResponseReturnValue:
    """The deliveries that wait for one of `waiting.WHY`, those that go on first at the top."""
    if why not in waiting.WHY:
        raise Rejected("not_found", f"nothing waits for {why[:40]!r}")
    return render_template("admin/waiting.html", why=why, lines=waiting.lines(why), most=waiting.MOST_LISTED)


def _breakers() -> dict[str, health.Breaker]:
    """Scope → breaker: every account of a provider, and recently used servers."""
    providers.refresh()
    names = [account.name for account, adapter in serving.registry().accounts() if not adapter.is_sandbox]
    return {**{name: health.Breaker() for name in names}, **health.breakers()}


@pages.get("/<channel>/pause")
@allow("operator")
def ask(channel: str) -> ResponseReturnValue:
    if channel not in channels.CHANNELS or channels.CHANNELS[channel].address is None:
        raise Rejected("not_found", f"there is no channel {channel[:40]!r} that can be paused")
    return render_template("admin/queue_pause.html", channel=channel)


@pages.post("/<channel>/pause")
@allow("operator")
def pause(channel: str) -> ResponseReturnValue:
    try:
        is_new = pausing.pause(channel)
    except Rejected as error:
        flash(f"Nothing was paused: {error.detail}.", "error")
    else:
        label = channels.CHANNELS[channel].label
        flash(
            f"{label} is paused. Everything due waits, including urgent messages."
            if is_new
            else f"{label} was already paused."
        )
    return redirect(url_for("queues.listing"), 303)


@pages.post("/<channel>/resume")
@allow("operator")
def resume(channel: str) -> ResponseReturnValue:
    is_resumed = pausing.resume(channel)
    flash("Resumed. What was waiting is being sent, step by step." if is_resumed else "It was not paused.")
    return redirect(url_for("queues.listing"), 303)


@pages.get("/breaker")
@allow("operator")
def ask_to_force() -> ResponseReturnValue:
    scope, state = request.args.get("scope", ""), request.args.get("state", "")
    try:
        breaker = _breakers().get(scope)
    except redis.RedisError:
        flash(f"Nothing was changed: {_AWAY}.", "error")
        return redirect(url_for("queues.listing"), 303)
    if breaker is None or state not in health.FORCED:
        raise Rejected("not_found", f"there is no breaker {scope[:80]!r}")
    held = waiting.held_by_scope().get(scope, 0)
    return render_template(
        "admin/queue_breaker.html", scope=scope, state=state, breaker=breaker, held=held, most=waiting.MOST_COUNTED
    )


@pages.post("/breaker")
@allow("operator")
def force() -> ResponseReturnValue:
    scope, state = request.form.get("scope", ""), request.form.get("state", "")
    try:
        if scope not in _breakers():
            raise Rejected("validation_failed", f"there is no breaker {scope[:80]!r}")
        health.force(scope, state)
        flash(_FORCED[state].format(scope_words(scope)))
    except (Rejected, ValueError) as error:
        flash(f"Nothing was changed: {getattr(error, 'detail', error)}.", "error")
    except redis.RedisError:
        flash(f"Nothing was changed: {_AWAY}.", "error")
    return redirect(url_for("queues.listing"), 303)
