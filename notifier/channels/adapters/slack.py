"""Slack: incoming webhooks, and with a bot's token chat.postMessage to a person or a channel.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
https://docs.slack.dev/reference/methods/chat.postMessage

What understands Slack's webhooks, such as Mattermost, is served too.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import SplitResult

from notifier.channels.contract import Adapter, Setting
from notifier.channels.table import SLACK
from notifier.channels.wire.answers import AMBIGUOUS, STATUSES, Family, Response, explain_code, not_understood
from notifier.channels.wire.chat import STATUSES_OF_A_HOOK, image, is_page, link
from notifier.channels.wire.http import bearer
from notifier.core.errors import DeliveryError, InvalidRecipient, Misconfigured, Permanent, RateLimited
from notifier.core.message import Message, Receipt, Recipient
from notifier.core.shortening import cut

_TEAM = re.compile(r"/(?:services|workflows|triggers)/(T[0-9A-Z]+)/")
_LONGEST_HEADER, _LONGEST_TEXT, _LONGEST_BUTTON, _LONGEST_URL = 150, 3000, 75, 3000

# Answers of incoming webhooks are words, with a status of their own.
_WORDS: dict[str | int, Family] = {
    "invalid_payload": Permanent,
    "invalid_blocks": Permanent,
    "no_text": Permanent,
    "too_many_attachments": Permanent,
    "action_prohibited": Permanent,
    "posting_to_general_channel_denied": Permanent,
    "invalid_token": InvalidRecipient,
    "user_not_found": InvalidRecipient,
    "no_service": InvalidRecipient,
    "no_service_id": InvalidRecipient,
    "no_team": InvalidRecipient,
    "team_disabled": InvalidRecipient,
    "channel_not_found": InvalidRecipient,
    "channel_is_archived": InvalidRecipient,
    "rollup_error": AMBIGUOUS,
}

# Errors of chat.postMessage. Most come with the status 200.
_ERRORS: dict[str | int, Family] = {
    "channel_not_found": InvalidRecipient,
    "user_not_found": InvalidRecipient,
    "is_archived": InvalidRecipient,
    "not_in_channel": InvalidRecipient,
    "cannot_dm_bot": InvalidRecipient,
    "messages_tab_disabled": InvalidRecipient,
    "msg_too_long": Permanent,
    "msg_blocks_too_long": Permanent,
    "no_text": Permanent,
    "invalid_blocks": Permanent,
    "invalid_blocks_format": Permanent,
    "invalid_arguments": Permanent,
    "metadata_too_large": Permanent,
    "too_many_attachments": Permanent,
    "restricted_action": Permanent,
    "not_authed": Misconfigured,
    "invalid_auth": Misconfigured,
    "token_expired": Misconfigured,
    "token_revoked": Misconfigured,
    "account_inactive": Misconfigured,
    "access_denied": Misconfigured,
    "missing_scope": Misconfigured,
    "no_permission": Misconfigured,
    "not_allowed_token_type": Misconfigured,
    "org_login_required": Misconfigured,
    "team_access_not_granted": Misconfigured,
    "ratelimited": RateLimited,
    "rate_limited": RateLimited,  # as the specification of 2020 writes it
    "message_limit_exceeded": RateLimited,
    "service_unavailable": AMBIGUOUS,
    "request_timeout": AMBIGUOUS,
    "internal_error": AMBIGUOUS,
    "fatal_error": AMBIGUOUS,
}


class Slack(Adapter):
    """An address is the URL of an incoming webhook, or the id of a person or channel that the bot writes to."""

    channel = SLACK
    provider = "slack"
    label = "Slack"
    settings = (
        Setting(
            "SLACK_BOT_TOKEN",
            "token of a bot that may `chat:write`: addresses can then be ids of people and channels",
            is_secret=True,
            is_required=False,
            example="xoxb-1-2-abc",
        ),
        Setting(
            "SLACK_URL",
            "base of Slack's Web API",
            is_required=False,
            default="https://slack.com/api",
            example="https://slack.com/api",
        ),
    )
    calls_peoples_hosts = True

    def send(self, message: Message, to: Recipient) -> Receipt:
        if self._url(to) is not None:
            self.http.post_json(to.address, _payload(message), {}, explain=explain_hook)
            return Receipt("sent")
        token = self.options.get("SLACK_BOT_TOKEN")
        if not token:
            raise Misconfigured("SLACK_BOT_TOKEN is not set, and the address is no webhook", code="not_configured")
        payload = {
            "channel": to.address,
            **_payload(message),
            "metadata": {"event_type": "notification", "event_payload": {"delivery_id": message.delivery_id}},
        }
        url = f"{self.options['SLACK_URL'].rstrip('/')}/chat.postMessage"
        answer = self.http.post_json(url, payload, bearer(token), explain=self.explain).json()
        return Receipt("sent", provider_message_id=f"{answer.get('channel')}:{answer.get('ts')}")

    def explain(self, response: Response) -> DeliveryError | None:
        answer = response.json()
        if response.is_success and answer.get("ok") is not True and not isinstance(answer.get("error"), str):
            return not_understood(response)
        error = answer.get("error")
        return explain_code(error if isinstance(error, str) else None, response, _ERRORS, _API_STATUSES)

    def tenant(self, url: SplitResult) -> str:
        """The team, whose webhooks share its limits. Elsewhere the whole path is the secret."""
        team = _TEAM.match(url.path)
        return f"/{team[1]}" if team else ""

    def receiver(self, to: Recipient) -> str:
        """A bot, too, is slowed down for one channel at a time: https://docs.slack.dev/apis/web-api/rate-limits"""
        return self.address_alone(to)

    def preview(self, message: Message, to: Recipient) -> dict[str, Any]:
        return {**super().preview(message, to), "payload": _payload(message)}


_API_STATUSES: dict[int, Family] = {**STATUSES, 500: AMBIGUOUS, 502: AMBIGUOUS}


def explain_hook(response: Response) -> DeliveryError | None:
    """A webhook's answer is a word: `ok`, or the reason why not."""
    word = response.body.strip().decode(errors="replace")[:64]
    if response.is_success and word not in _WORDS:
        # Mattermost and others answer with nothing, or JSON.
        return not_understood(response) if is_page(response) else None
    return explain_code(word if word in _WORDS else None, response, _WORDS, STATUSES_OF_A_HOOK)


_escape = partial(re.compile("[&<>]").sub, lambda found: {"&": "&amp;", "<": "&lt;", ">": "&gt;"}[found[0]])


def _payload(message: Message) -> dict[str, Any]:
    """Blocks of plain text, in which nothing is a mention or a link; `text` is what a notification and a reader of
    blocks that cannot show them say. The first block's id names the delivery.
    """
    content, action, picture = message.content, link(message.content), image(message.content)
    blocks: list[Mapping[str, Any]] = []
    if content.title.strip():
        blocks.append({"type": "header", "text": _plain(cut(content.title, _LONGEST_HEADER))})
    if content.body.strip():
        blocks.append({"type": "section", "text": _plain(cut(content.body, _LONGEST_TEXT))})
    if picture and len(picture) <= _LONGEST_URL:
        blocks.append({"type": "image", "image_url": picture, "alt_text": cut(content.title, 2000) or "image"})
    facts = [_plain(f"{label}\n{value}") for label, value in content.extra.get("facts", ())]
    if facts:
        blocks.append({"type": "section", "fields": facts})
    buttons = [
        {
            "type": "button",
            "text": _plain(cut(label, _LONGEST_BUTTON)),
            "url": url,
            "action_id": f"open{number}" if number else "open",
        }
        for number, (label, url) in enumerate(((action,) if action else ()) + content.extra.get("buttons", ()))
    ]
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    if content.extra.get("footer"):
        blocks.append({"type": "context", "elements": [_plain(content.extra["footer"])]})
    if blocks:
        blocks[0] = {**blocks[0], "block_id": message.delivery_id}
    spoken = "\n".join(part for part in (content.title, content.body) if part.strip())
    return {"text": cut(_escape(spoken), _LONGEST_TEXT) or message.type, "blocks": blocks}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}
