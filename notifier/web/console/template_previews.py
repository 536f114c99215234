"""Previews in the template editor: the message as its recipient would see it, or the fault with its line.

The HTML of a mail waits for its frame in Redis for some minutes, under the digest of its content, since it is not saved
anywhere. So does each author's sample data.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import redis
import structlog
from flask import abort
from flask.typing import ResponseReturnValue
from flask_login import current_user

from notifier.channels import CHANNELS, FIELDS
from notifier.core.message import Content
from notifier.core.segments import segments
from notifier.core.wording import TemplateSource
from notifier.ground.config import current_settings
from notifier.ground.extensions import redis_store
from notifier.models import EventType
from notifier.operations import template_trial
from notifier.web.access import allow, page_blueprint
from notifier.web.console import template_measures
from notifier.web.console.mail_frame import framed
from notifier.web.console.shape_form import came_out
from notifier.words.fallback import find_words
from notifier.words.render import RenderFault

pages = page_blueprint("template_previews", url_prefix="/admin/templates/-")

_KEY = "notifier:preview:{}"
_KEPT_S = 600
_LATEST = "notifier:previews-of:{}"
_MOST_KEPT = 20  # of one person: Redis is there for the queues
_SAMPLE = "notifier:sample:{}:{}"
_SAMPLE_KEPT_S = 3600
_AROUND = 2  # lines before and after the one a fault is in
_NAMES = {
    "html": "HTML",
    "action_label": "button",
    "action_url": "link of the button",
    "secondary_label": "second button",
    "secondary_url": "link of the second button",
    "image": "picture",
    "body": "text",
    **{field.name: field.label for field in FIELDS.values()},
}

log = structlog.get_logger()


@pages.get("/mail/<digest>")
@allow("viewer")
def mail(digest: str) -> ResponseReturnValue:
    try:
        kept = cast("bytes | None", redis_store.client.get(_KEY.format(digest[:64])))
    except redis.RedisError:
        kept = None
    return framed(kept.decode() if kept else abort(404))


def shown(
    source: TemplateSource, channel: str, locale: str, data: Mapping[str, Any], type: EventType | None
) -> dict[str, Any]:
    """The data for `template_preview.html`: `fault`, or the message by its parts."""
    shape = CHANNELS[channel].shape
    measured: list[tuple[str, Content]] = []
    if shape.is_sms or shape.cards:
        result, longest = template_trial.preview_with_long_data(source, channel, locale, data, type)
        found = (("With the sample data", result), ("With the longest data", longest))
        measured = [(title, one) for title, one in found if isinstance(one, Content)]
    else:
        result = template_trial.preview(source, channel, locale, data, type)
    if isinstance(result, RenderFault):
        return {"fault": _fault(result, source, channel, locale)}
    price = current_settings().sms_segment_price
    views = [
        f"admin/captures/{channel}.html",
        *(["admin/captures/push.html"] if shape.has_card else []),
        "admin/captures/any.html",
    ]
    return {
        "fault": None,
        "channel": channel,
        "subject": result.subject,
        "mail": keep(result.html) if result.html else None,
        "has_html": result.html is not None,
        "text": result.body,
        "title": result.title,
        "capture": {"channel": channel, "text": result.body, "html": None, "subject": None, "payload": _card(result)},
        "segments": segments(result.body),
        "views": views,
        "image": result.image,
        "declared": came_out(result, shape),
        "sms": [template_measures.counted(title, one, shape, price) for title, one in measured if shape.is_sms],
        "cards": [(title, template_measures.cards(one, shape)) for title, one in measured if shape.cards],
        "actions": [
            {"label": label, "url": url}
            for label, url in (
                (result.action_label, result.action_url),
                (result.secondary_label, result.secondary_url),
            )
            if url
        ],
    }


def keep_sample(author: UUID, key: str, data: Mapping[str, Any]) -> None:
    """Keeps an author's sample data for a while, for all texts that they work on."""
    try:
        redis_store.client.set(_SAMPLE.format(author.hex, key), json.dumps(data).encode(), ex=_SAMPLE_KEPT_S)
    except redis.RedisError as error:
        log.warning("preview.redis_away", error=type(error).__name__)


def kept_sample(author: UUID, key: str) -> dict[str, Any] | None:
    """The kept sample data; None if there are none, or while Redis is away."""
    try:
        kept = cast("bytes | None", redis_store.client.get(_SAMPLE.format(author.hex, key)))
    except redis.RedisError:
        return None
    data: dict[str, Any] | None = json.loads(kept) if kept else None
    return data


def _card(content: Content) -> dict[str, Any]:
    return {"title": content.title, "body": content.body}


def keep(html: str) -> str | None:
    """Keeps a mail for its frame → the digest by which that asks for it; None while Redis is away."""
    digest, latest = hashlib.sha256(html.encode()).hexdigest(), _LATEST.format(current_user.id.hex)
    try:
        with redis_store.client.pipeline() as pipe:
            pipe.set(_KEY.format(digest), html.encode(), ex=_KEPT_S)
            pipe.lrem(latest, 0, digest)
            pipe.lpush(latest, digest)
            pipe.expire(latest, _KEPT_S)
            pipe.lrange(latest, _MOST_KEPT, -1)
            pipe.ltrim(latest, 0, _MOST_KEPT - 1)
            *_, older, _ = pipe.execute()
        if older:
            redis_store.client.delete(*(_KEY.format(one.decode()) for one in older))
    except redis.RedisError as error:
        log.warning("preview.redis_away", error=type(error).__name__)
        return None
    return digest


def _fault(fault: RenderFault, source: TemplateSource, channel: str, locale: str) -> dict[str, Any]:
    found = find_words(source, channel, locale)
    lines = ((found[0].texts().get(fault.field) or "") if found and fault.field else "").split("\n")
    line = fault.line if fault.line and fault.line <= len(lines) else None
    excerpt = (
        [
            (number, lines[number - 1], number == line)
            for number in range(max(1, line - _AROUND), min(len(lines), line + _AROUND) + 1)
        ]
        if line
        else []
    )
    place = (
        f"Line {fault.line} of the {_NAMES.get(fault.field or '', fault.field)}"
        if fault.line
        else f"The {_NAMES.get(fault.field or '', fault.field)}"
    )
    return {
        "field": fault.field,
        "line": line,
        "sentence": f"{place if fault.field else 'The template'}: {fault.message}",
        "excerpt": excerpt,
    }
