"""Queues, workers and breakers: what waits, who works, and what is stuck.

Viewers look; operators pause, resume and force.
"""

import redis
from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from notifier import channels
from notifier.channels import serving
from notifier.core.errors import Rejected
from notifier.providers import accounts as providers
from notifier.providers import health, pausing
from notifier.queries import queues
from notifier.queries.overview import held_back
from notifier.web.access import allow, page_blueprint

pages = page_blueprint("queues", url_prefix="/admin/queues")


@pages.get("")
@allow("viewer")
def listing() -> ResponseReturnValue:
    try:
        shown = {
            "channels": queues.by_channel(held_back()),
            "workers": queues.workers(),
            "schedulers": queues.schedulers(),
            "breakers": _breakers(),
        }
    except redis.RedisError:
        shown = {"channels": None, "paused": queues.paused()}
    return render_template("admin/queues.html", **shown)


def _breakers() -> dict[str, str]:
    """Scope → state: every account of a provider, and recently used servers."""
    providers.refresh()
    states = health.states()
    names = [account.name for account, adapter in serving.registry().accounts() if not adapter.is_sandbox]
    return {**dict.fromkeys(names, "closed"), **states}


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


@pages.post("/breaker")
@allow("operator")
def force() -> ResponseReturnValue:
    scope, state = request.form.get("scope", ""), request.form.get("state", "")
    try:
        if scope not in _breakers():
            raise Rejected("validation_failed", f"there is no breaker {scope[:80]!r}")
        health.force(scope, state)
        words = {
            "open": "lets nothing through until somebody closes it",
            "closed": "lets everything through",
            "auto": "works by itself again",
        }
        flash(f"The breaker of {scope} {words[state]}.")
    except (Rejected, ValueError) as error:
        flash(f"Nothing was changed: {getattr(error, 'detail', error)}.", "error")
    except redis.RedisError:
        flash("Nothing was changed: Redis, which holds the breakers, cannot be reached.", "error")
    return redirect(url_for("queues.listing"), 303)
