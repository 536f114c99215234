"""Microsoft Teams: the URL of a workflow that posts the card it is sent
(https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook).

The answer says that the workflow has taken the card, not that it could show it.
"""

import json
import re
from typing import Any
from urllib.parse import SplitResult

from notifier.channels.addresses import URL
from notifier.channels.contract import Adapter, AddressKind, Channel, Shape
from notifier.channels.fields import BUTTONS, FACTS, FOOTER
from notifier.channels.wire.answers import Response, explain
from notifier.channels.wire.chat import STATUSES_OF_A_HOOK, image, link
from notifier.core.errors import DeliveryError
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.shortening import cut

_WORKFLOW = re.compile(r".*/workflows/([0-9a-f]{8})[0-9a-f]{24}/")
_LONGEST_TITLE, _LONGEST_BODY = 256, 5_000  # characters
_LONGEST_CARD = 27_000  # bytes; a message may have 28 KB

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
        return explain(response, STATUSES_OF_A_HOOK)

    def tenant(self, url: SplitResult) -> str:
        """The beginning of the workflow's number. The secret is in the query."""
        found = _WORKFLOW.match(url.path)
        return f"/{found[1]}" if found else ""

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": _payload(message)}


def _payload(message: Message) -> dict[str, Any]:
    """An Adaptive Card (https://adaptivecards.io/explorer). Rich text blocks, since a plain one reads Markdown."""
    content, action, picture = message.content, link(message.content), image(message.content)
    title = cut(content.title, _LONGEST_TITLE)
    body = [_rich({"text": title, "weight": "Bolder", "size": "Medium"})] if title.strip() else []
    body += [_rich({"text": line}) for line in cut(content.body, _LONGEST_BODY).splitlines() if line.strip()]
    if picture:
        body.append({"type": "Image", "url": picture, "altText": title})
    footer = content.extra.get("footer")
    end = [_rich({"text": footer, "isSubtle": True, "size": "Small"})] if footer else []
    for label, text in content.extra.get("facts", ()):
        fact = _rich({"text": f"{label}: ", "weight": "Bolder"}, {"text": text})
        if len(json.dumps([*body, fact, *end])) > _LONGEST_CARD:
            break
        body.append(fact)
    body += end
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": title,
        "body": body,
    }
    buttons = ((action,) if action else ()) + content.extra.get("buttons", ())
    if buttons:
        card["actions"] = [
            {"type": "Action.OpenUrl", "title": cut(label, _LONGEST_TITLE), "url": url} for label, url in buttons
        ]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _rich(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}
