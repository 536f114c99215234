"""How values look in templates: times, numbers, names of channels; and the variables of every page.

Times leave the server as `<time datetime>` in the zone that the person has chosen. Where they have chosen none, they
are in UTC, and `static/js/times.js` shows them in the zone of the browser.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from markupsafe import Markup

from notifier.channels import CHANNELS
from notifier.core.masking import masked_text
from notifier.core.message import ANDROID, IOS
from notifier.core.timestamps import timestamp
from notifier.ground.languages import N_
from notifier.ground.zones import UTC as ZONELESS
from notifier.queries.titles import spelled
from notifier.web.language import gettext, language, reader
from notifier.web.number_words import in_words

_ROLES = {"person": N_("Person"), "viewer": N_("Viewer"), "operator": N_("Operator"), "admin": N_("Admin")}
_PLATFORMS = {IOS: N_("iPhone or iPad"), ANDROID: "Android"}
_BREAKERS = {
    "closed": ("sending", "good"),
    "open": ("stopped", "bad"),
    "half_open": ("being tried again", "warn"),
    "forced_open": ("stopped by hand", "bad"),
    "forced_closed": ("kept sending by hand", "warn"),
}
_CATEGORIES = {
    "transactional": N_("transactional"),
    "marketing": N_("marketing"),
    "social": N_("social"),
    "system": N_("system"),
}
_TONES = {
    "delivered": "good",
    "sent": "good",
    "opened": "good",
    "clicked": "good",
    "failed": "bad",
    "bounced": "bad",
    "unknown": "warn",
    "expired": "warn",
}


def init_app(app: Flask) -> None:
    app.add_template_filter(when, "when")
    app.add_template_filter(when_exactly, "when_exactly")
    app.add_template_filter(how_long, "how_long")
    app.add_template_filter(thousands, "thousands")
    app.add_template_filter(role_label, "role_label")
    app.add_template_filter(in_words, "in_words")
    app.add_template_filter(channel_label, "channel_label")
    app.add_template_filter(platform_label, "platform_label")
    app.add_template_filter(by_channel, "by_channel")
    app.add_template_filter(category_word, "category_word")
    app.add_template_filter(category_label, "category_label")
    app.add_template_filter(capital, "capital")
    app.add_template_filter(spelled, "type_label")
    app.add_template_filter(tone, "tone")
    app.add_template_filter(scope_words, "scope_words")
    app.add_template_filter(breaker_words, "breaker_words")
    app.add_template_filter(breaker_tone, "breaker_tone")
    app.add_template_filter(at_least, "at_least")
    app.add_template_filter(pretty_json, "pretty_json")
    app.add_template_filter(masked_text, "masked")


def when(at: datetime | str | None) -> Markup:
    """A time, or a dash for none. Takes the API's text form too."""
    if not at:
        return Markup("–")
    moment = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(UTC)
    zone = reader().zone
    words = language().moment(moment, zone or ZONELESS) + ("" if zone else " UTC")
    return Markup('<time datetime="{}">{}</time>').format(timestamp(moment, "seconds"), words)


def when_exactly(at: datetime) -> Markup:
    """To the thousandth of a second, where the order of things matters."""
    moment = at.astimezone(UTC)
    return Markup('<time datetime="{}" data-exact>{}</time>').format(
        timestamp(moment), f"{moment:%d %b %Y, %H:%M:%S}.{moment.microsecond // 1000:03} UTC"
    )


def how_long(span: timedelta | None) -> str:
    """`3 min`, `2 h 5 min`; a dash for none."""
    if span is None:
        return "–"
    seconds = int(span.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3600
    return f"{minutes} min" if hours < 1 else f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} days"


def thousands(number: int) -> str:
    return language().number(number)


def platform_label(name: str | None) -> str | None:
    return language().gettext(_PLATFORMS.get(name, name)) if name else None


def role_label(role: str) -> str:
    return language().gettext(_ROLES.get(role, role))


def channel_label(name: str) -> str:
    channel = CHANNELS.get(name)
    return language().gettext(channel.label) if channel else name


def by_channel(name: str) -> str:
    """In a sentence: `by e-mail`, `in the app`."""
    channel = CHANNELS.get(name)
    if channel and channel.by:
        return gettext(channel.by)
    return gettext("by %(channel)s", channel=channel_label(name))


def by_channels(names: Iterable[str]) -> str:
    return language().listed(by_channel(name) for name in names)


def category_word(category: str) -> str:
    """In a sentence: `marketing`."""
    return gettext(_CATEGORIES.get(category, category))


def category_label(category: str) -> str:
    return capital(category_word(category))


def capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def tone(status: str) -> str:
    """The colour a delivery's status is shown in; the word itself always stands beside it."""
    return _TONES.get(status, "plain")


def scope_words(scope: str) -> str:
    """What a breaker is for: an account of a provider, or one server of it, `webhook:example.com:443`."""
    name, _, server = scope.partition(":")
    return f"{server} ({'status webhooks' if name == 'subscription' else name})" if server else name


def breaker_words(state: str) -> str:
    """What a breaker does, rather than how far it is open."""
    return _BREAKERS[state][0]


def breaker_tone(state: str) -> str:
    return _BREAKERS[state][1]


def at_least(count: int, most: int) -> str:
    """A count that went no further than `most`: `5,000+`."""
    return f"{most:,}+" if count > most else f"{count:,}"


def pretty_json(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, indent=2, default=str)
