"""What the tests of rendering share: requests with sensible defaults, and the catalogue's templates as sources."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from notifier.catalogue import CatalogueType
from notifier.core.message import Content
from notifier.core.wording import TemplateSource, Words
from notifier.words.render import RenderFault, RenderRequest, render

WHY = "https://notify.test/preferences#like-email"
UNSUBSCRIBE = "https://notify.test/u/abc.def"


def source(contents: Mapping[tuple[str, str], Words], *, key: str = "greeting") -> TemplateSource:
    return TemplateSource(None, key, 1, contents)


def source_of(entry: CatalogueType) -> TemplateSource:
    words = {
        (content.channel, content.locale): Words(
            content.title,
            content.body,
            content.subject,
            content.html,
            content.action_label,
            content.action_url,
            content.image,
            content.extra,
        )
        for content in entry.contents
    }
    return source(words, key=entry.key)


def request(
    channel: str, template: TemplateSource | None, data: Mapping[str, Any] | None = None, **changes: Any
) -> RenderRequest:
    defaults: dict[str, Any] = {
        "channel": channel,
        "locale": "en",
        "type": "greeting",
        "template": template,
        "titles": {"en": "A greeting", "de": "Ein Gruß"},
        "data": data or {},
        "user_name": "Alice",
        "zone": ZoneInfo("Europe/Berlin"),
        "category": "transactional",
        "why_url": None,
        "unsubscribe_url": None,
    }
    return RenderRequest(**{**defaults, **changes})


def outcome(
    channel: str, words: Words | None, data: Mapping[str, Any] | None = None, **changes: Any
) -> Content | RenderFault:
    """One message with the same words for every channel, rendered."""
    return render([request(channel, source({("*", "en"): words}) if words else None, data, **changes)])[0]


def content(channel: str, words: Words | None, data: Mapping[str, Any] | None = None, **changes: Any) -> Content:
    """As `outcome`, which must be no fault."""
    result = outcome(channel, words, data, **changes)
    assert isinstance(result, Content), result
    return result
