"""Discord: execution of a channel's webhook (https://discord.com/developers/docs/resources/webhook#execute-webhook)."""

import re
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from notifier.channels.addresses import URL
from notifier.channels.contract import Adapter, AddressKind, Channel, Shape
from notifier.channels.fields import FACTS, FOOTER
from notifier.channels.wire.answers import Family, Response, explain_code, not_understood
from notifier.channels.wire.chat import STATUSES_OF_A_HOOK, image, link
from notifier.core.brand import is_colour
from notifier.core.errors import DeliveryError, InvalidRecipient, Permanent, RateLimited
from notifier.core.message import Content, Message, Receipt, Recipient
from notifier.core.shape_fields import ShapeField
from notifier.core.shortening import cut

_WEBHOOK = re.compile(r"/api(?:/v\d+)?/webhooks/(\d+)/[\w-]+")
_LONGEST_TITLE, _LONGEST_TEXT, _LONGEST_FACT, _LONGEST_EMBED = 256, 4096, 1024, 6000
_MARKDOWN = re.compile(r"([\\*_~`|>\[\]()#-])")

# https://discord.com/developers/docs/topics/opcodes-and-status-codes#json
_CODES: dict[str | int, Family] = {
    10003: InvalidRecipient,  # unknown channel
    10015: InvalidRecipient,  # unknown webhook
    50027: InvalidRecipient,  # invalid webhook token
    50006: Permanent,  # empty message
    50035: Permanent,  # invalid form body
    220001: Permanent,  # a forum wants a thread
    20029: RateLimited,  # the channel's write limit
}


def _parse(value: str) -> str:
    url = URL.parse(value)
    if not _WEBHOOK.fullmatch(urlsplit(url).path.rstrip("/")):
        raise ValueError("This is not the URL of a Discord webhook (https://discord.com/api/webhooks/…).")
    return url


COLOUR = ShapeField(
    "colour",
    "Colour",
    "Of the line beside the message, as #rrggbb.",
    longest=7,
    check=lambda _, value: None if is_colour(value.lower()) else "a colour is written like #2f6fde",
)

DISCORD = Channel(
    "discord",
    "Discord",
    AddressKind("Discord webhook", "https://discord.com/api/webhooks/1/abc-DEF", _parse, URL.mask, url=URL.url),
    Shape(has_card=True, longest_body=_LONGEST_TEXT, fields=(FACTS, FOOTER, COLOUR)),
    every_address=True,
)


class Discord(Adapter):
    channel = DISCORD
    provider = "discord"
    label = "Discord"
    calls_peoples_hosts = True

    def send(self, message: Message, to: Recipient) -> Receipt:
        parts = urlsplit(to.address)
        waiting = urlencode({**dict(parse_qsl(parts.query)), "wait": "true"})  # else the answer holds no id
        url = parts._replace(query=waiting).geturl()
        # There is no field for an id of ours that nobody sees.
        headers = {"X-Request-Id": message.delivery_id}
        answer = self.http.post_json(url, _payload(message), headers, explain=self.explain).json()
        return Receipt("sent", provider_message_id=str(answer["id"]))

    def explain(self, response: Response) -> DeliveryError | None:
        answer = response.json()
        if response.is_success:
            return None if answer.get("id") else not_understood(response)
        code = answer.get("code")
        known = code if isinstance(code, int) and code in _CODES else None
        # In seconds, with a fraction; in milliseconds according to one report, whence the bound of `retry_after_s`.
        told = answer.get("retry_after") if response.status == 429 else None
        return explain_code(
            429 if told else known, response, {**_CODES, 429: RateLimited}, STATUSES_OF_A_HOOK, retry_after=told
        )

    def tenant(self, url: SplitResult) -> str:
        """The webhook's number; its token, which follows, is the secret."""
        found = _WEBHOOK.match(url.path)
        return f"/{found[1]}" if found else ""

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": _payload(message)}


def _payload(message: Message) -> dict[str, Any]:
    """One embed. Nobody is mentioned, whatever the text says."""
    content, action, picture = message.content, link(message.content), image(message.content)
    body = _escaped(content.body)
    end = f"\n\n{action[1]}" if action else ""
    embed: dict[str, Any] = {
        "title": cut(content.title.strip() or message.type, _LONGEST_TITLE),
        "description": cut(body, _LONGEST_TEXT - len(end)) + end,
    }
    if action:
        embed["url"] = action[1]
    if picture:
        embed["image"] = {"url": picture}
    footer, colour = content.extra.get("footer"), content.extra.get("colour", "")
    if footer:
        embed["footer"] = {"text": footer}  # reads no Markdown
    if is_colour(colour.lower()):
        embed["color"] = int(colour[1:], 16)
    facts = _facts(content, _LONGEST_EMBED - len(embed["title"]) - len(embed["description"]) - len(footer or ""))
    if facts:
        embed["fields"] = facts
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _facts(content: Content, room: int) -> list[dict[str, Any]]:
    """As many as the embed has room for, in characters."""
    found = []
    for label, text in content.extra.get("facts", ()):
        name, value = cut(_escaped(label), _LONGEST_TITLE), cut(_escaped(text), _LONGEST_FACT)
        room -= len(name) + len(value)
        if room < 0:
            break
        found.append({"name": name, "value": value, "inline": True})
    return found


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(r"\\\1", text)
