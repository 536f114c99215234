"""Microsoft Teams: the URL of a workflow that posts the card it is sent
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook).

The answer says that the workflow has taken the card, not that it could show it.
"""

import json
import re
from itertools import accumulate
from typing import Any
from urllib.parse import SplitResult

from notifier.channels.addresses import URL
from notifier.channels.contract import Adapter, AddressKind, Channel, Shape
from notifier.channels.fields import BUTTONS, FACTS, FOOTER
from notifier.channels.wire.answers import Response, explain, not_understood
from notifier.channels.wire.chat import STATUSES_OF_A_HOOK, image, is_page, link
from notifier.core.errors import DeliveryError
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.shortening import cut

_WORKFLOW = re.compile(r".*/workflows/([0-9a-f]{8})[0-9a-f]{24}/")
_LONGEST_TITLE, _LONGEST_BODY = 256, 5_000  # characters
_MOST_BYTES_A_SIGN = 6  # JSON writes \u0007
_LONGEST_CARD = 27_000  # bytes of its parts; a message may have 28 KB

TEAMS = Channel(
    "teams",
    "Microsoft Teams",
    AddressKind(
        "Teams workflow URL",
        "https://prod-1.westeurope.logic.azure.com/workflows/0a1b/triggers/manual/paths/invoke?sig=abc",
        URL.parse,
        URL.mask,
        url=URL.url,
    ),
    Shape(has_card=True, longest_body=_LONGEST_BODY, fields=(BUTTONS, FACTS, FOOTER)),
    every_address=True,
)


class Teams(Adapter):
    channel = TEAMS
    provider = "teams"
    label = "Microsoft Teams"
    calls_peoples_hosts = True

    def send(self, message: Message, to: Recipient) -> Receipt:
        headers = {"X-Request-Id": message.delivery_id}
        self.http.post_json(to.address, _payload(message), headers, explain=self.explain)
        return Receipt("sent")

    def explain(self, response: Response) -> DeliveryError | None:
        if response.is_success and is_page(response):
            return not_understood(response)
        return explain(response, STATUSES_OF_A_HOOK)

    def tenant(self, url: SplitResult) -> str:
        """The beginning of the workflow's number. The secret is in the query."""
        found = _WORKFLOW.match(url.path)
        return f"/{found[1]}" if found else ""

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": _payload(message)}


def _payload(message: Message) -> dict[str, Any]:
    """An Adaptive Card (https://adaptivecards.io/explorer). Rich text blocks, since a plain one reads Markdown. As many
    lines and facts as there is room for.
    """
    content, action, picture = message.content, link(message.content), image(message.content)
    title, footer = cut(content.title, _LONGEST_TITLE), content.extra.get("footer")
    head = [_rich({"text": title, "weight": "Bolder", "size": "Medium"})] if title.strip() else []
    pictures = [{"type": "Image", "url": picture, "altText": title}] if picture else []
    end = [_rich({"text": footer, "isSubtle": True, "size": "Small"})] if footer else []
    buttons = ((action,) if action else ()) + content.extra.get("buttons", ())
    actions = [{"type": "Action.OpenUrl", "title": cut(label, _LONGEST_TITLE), "url": url} for label, url in buttons]
    lines = [line for line in cut(content.body, _LONGEST_BODY).splitlines() if line.strip()]
    facts = content.extra.get("facts", ())
    room = _LONGEST_CARD - sum(map(_size, [*head, *pictures, *end, *actions]))
    body = _fitting([_rich({"text": line}) for line in lines], room - _LEAST)
    if len(body) < len(lines):
        left = room - _LEAST - sum(map(_size, body))
        body.append(_rich({"text": cut(f"{lines[len(body)]} …", 1 + left // _MOST_BYTES_A_SIGN)}))
    told = [_rich({"text": f"{label}: ", "weight": "Bolder"}, {"text": text}) for label, text in facts]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title,
        "body": [*head, *body, *pictures, *_fitting(told, room - sum(map(_size, body))), *end],
    }
    if actions:
        card["actions"] = actions
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _fitting(parts: list[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """The first ones that fit into so many bytes."""
    ends = accumulate(map(_size, parts))
    return [part for part, end in zip(parts, ends, strict=True) if end <= room]


def _size(part: dict[str, Any]) -> int:
    """In bytes, as it is sent, with a comma."""
    return len(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")) + 1


def _rich(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


_LEAST = _size(_rich({"text": "…"}))
